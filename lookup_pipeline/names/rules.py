"""What a row must be to be looked up: the one list of rules.

The schema that rows are checked against (``validation``), the reasons in ``rejected_names``, the
table in docs/input.md and the constraints that the UI shows all come from it.
"""

from collections.abc import Callable
from typing import NamedTuple

from lookup_pipeline.names import identifiers, person_names


class Rule(NamedTuple):
    """A rule for one value of a row, or for the row.

    Attributes:
        field: Of ``Requested``, or the name of the row's property.
        holds: Whether a value that is not blank keeps to it.
        rule: What must be, as documentation says it.
        complaint: What is said where it is not, after the field's name and the value.
    """

    field: str
    holds: Callable[[str], bool]
    rule: str
    complaint: str


def _sales_navigator(text: str) -> bool:
    return not identifiers.is_sales_navigator(text)


def _linkedin_profile(text: str) -> bool:
    return identifiers.linkedin_profile(text) is not None or identifiers.is_sales_navigator(text)


VALUE_RULES = (
    Rule(
        "id",
        lambda text: identifiers.profile_id(text) is not None,
        "the provider's profile id: a positive whole number of at most 18 digits",
        "is not a positive whole number",
    ),
    Rule(
        "linkedin_url",
        _sales_navigator,
        "no Sales Navigator URL: export the public profile's instead",
        "is a Sales Navigator address, which names nobody outside of it: use the public profile's",
    ),
    Rule(
        "linkedin_url",
        _linkedin_profile,
        "the URL of a person's profile (linkedin.com/in/… or linkedin.com/pub/…)",
        "is not the address of a LinkedIn profile (linkedin.com/in/… or linkedin.com/pub/…)",
    ),
    Rule(
        "email",
        lambda text: identifiers.email(text) is not None,
        "one e-mail address of at most 254 characters, and nothing around it",
        "is not an e-mail address",
    ),
    Rule(
        "npi_number",
        lambda text: identifiers.npi_number(text) is not None,
        "a 10-digit number",
        "is not a 10-digit number",
    ),
    Rule("name", person_names.is_no_email, "no e-mail address", "is an e-mail address, not a name"),
    Rule("name", person_names.is_no_address, "no web address", "is a web address, not a name"),
    Rule("name", person_names.has_letters, "at least one letter", "has no letters"),
    Rule(
        "name",
        person_names.is_short,
        f"at most {person_names.LONGEST} characters",
        f"is longer than {person_names.LONGEST} characters",
    ),
    Rule(
        "name",
        person_names.is_legible,
        "no replacement characters (U+FFFD)",
        "has letters that were lost before the file was written (U+FFFD)",
    ),
    Rule(
        "employer",
        person_names.is_legible,
        "no replacement characters (U+FFFD)",
        "has letters that were lost before the file was written (U+FFFD)",
    ),
    Rule(
        "employer",
        person_names.is_short,
        f"at most {person_names.LONGEST} characters",
        f"is longer than {person_names.LONGEST} characters",
    ),
)


class RowRule(NamedTuple):
    """A rule for a row as it stands in the file.

    Attributes:
        field: What is counted: how often the row breaks the rule.
        rule: What must be, as documentation says it.
        complaint: What is said where it is not; ``{}`` stands for the count.
    """

    field: str
    rule: str
    complaint: str


ROW_RULES = (
    RowRule(
        "stray_quotes",
        "quotation marks match, and are doubled inside a quoted field",
        "the row's quotation marks do not match: a field that begins with one must end with one, "
        "and inside it they must be doubled",
    ),
    RowRule(
        "damage",
        "no NUL characters, and no bytes that the file's encoding does not have",
        "the row is damaged: it has NUL characters, or bytes that are no text in the file's "
        "encoding (shown as \\x and two digits)",
    ),
    RowRule(
        "surplus_fields",
        "no more fields than the header row, blank ones at the end aside",
        "the row has more fields than the header row, by {}",
    ),
    RowRule(
        "header_again",
        "not the header row once more, as where files were joined",
        "the row is the header row again",
    ),
)
NAMES_SOMEBODY = RowRule(
    "row",
    "an id, linkedin_url, email or npi_number, or a name with an employer",
    "no id, linkedin_url, email, npi_number, nor a name with an employer",
)
NAME_ALONE = "a name without an employer"
EMPLOYER_ALONE = "an employer without a name"

# Reasons quote the value; a whole paragraph in the wrong column would bury the message.
_LONGEST_QUOTE = 80


def complain(rule: Rule, value: str) -> str:
    """Words what a value does not keep to."""
    shown = value if len(value) <= _LONGEST_QUOTE else f"{value[:_LONGEST_QUOTE]}…"
    return f"{rule.field} '{shown}' {rule.complaint}"
