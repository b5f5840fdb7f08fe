"""What is asked about a row (its query) and which rows mean the same person (their identity).

The rules live here once: ``build_query`` for what is asked, ``rejection_reasons`` for rows about
which nothing can be asked.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from lookup_pipeline.names import identifiers
from lookup_pipeline.names.text import clean, fold

# An identity is stored for good and paid for once. Rules that make another text of the same row
# need another version, and a migration of the stored ones.
_RULES_VERSION = "v1"

# Reasons quote the value; a whole paragraph in the wrong column would bury the message.
_LONGEST_QUOTE = 80


@dataclass(frozen=True)
class Query:
    """What is asked about one person.

    Attributes:
        identity: The text that all spellings of this query have in common, such as
            ``v1:linkedin:grace-hopper``. It begins with the version of the rules.
        parameters: What is sent to the API: exactly one of ``id``, ``linkedin_url``, ``email``,
            ``npi_number``, or ``name`` with ``current_employer`` and, where known, ``title``.
    """

    identity: str
    parameters: dict[str, str | int]

    @property
    def profile_id(self) -> int | None:
        """The provider's id, where the query asks by it."""
        value = self.parameters.get("id")
        return value if isinstance(value, int) else None


class Requested(NamedTuple):
    """What a row says about a person; ``None`` or a blank text where it says nothing."""

    name: str | None = None
    employer: str | None = None
    title: str | None = None
    linkedin_url: str | None = None
    email: str | None = None
    npi_number: str | None = None
    id: str | None = None


REQUESTED_COLUMNS = tuple(f"requested_{field}" for field in Requested._fields)


class _Rule(NamedTuple):
    """How one kind of identifier becomes a query, and what is said when it cannot."""

    field: str
    kind: str
    read: Callable[[str], identifiers.Identifier | None]
    complaint: str


# The strongest first: the first valid one of a row is asked for.
_RULES = (
    _Rule("id", "id", identifiers.profile_id, "is not a positive whole number"),
    _Rule(
        "linkedin_url",
        "linkedin",
        identifiers.linkedin_profile,
        "is not the address of a LinkedIn profile (linkedin.com/in/… or linkedin.com/pub/…)",
    ),
    _Rule("email", "email", identifiers.email, "is not an e-mail address"),
    _Rule("npi_number", "npi", identifiers.npi_number, "is not a 10-digit number"),
)


def build_query(
    name: str | None = None,
    employer: str | None = None,
    title: str | None = None,
    linkedin_url: str | None = None,
    email: str | None = None,
    npi_number: str | None = None,
    id: str | None = None,  # noqa: A002 - the API's own word
) -> Query | None:
    """Builds the query from the strongest valid identifier.

    That is the profile id, then LinkedIn URL, e-mail, NPI number, then name with employer. An
    invalid identifier is passed over when a weaker one serves. The title is sent along with a
    name but is no part of the identity.

    Returns:
        The query, or ``None`` when nothing can be asked; ``rejection_reasons`` says why.
    """
    requested = Requested(name, employer, title, linkedin_url, email, npi_number, id)
    strongest = _strongest_identifier(requested)
    if strongest is None:
        return _build_from_name(requested)
    rule, identifier = strongest
    identity = f"{_RULES_VERSION}:{rule.kind}:{identifier.compared}"
    return Query(identity, {rule.field: identifier.sent})


def rejection_reasons(requested: Requested) -> list[str]:
    """Says in plain words why nothing can be asked: every reason, or none when a query serves."""
    has_name = bool(clean(requested.name or ""))
    has_employer = bool(clean(requested.employer or ""))
    if (has_name and has_employer) or _strongest_identifier(requested):
        return []
    reasons = [
        f"{rule.field} '{_shortened(value)}' {rule.complaint}"
        for rule in _RULES
        if (value := getattr(requested, rule.field)) and clean(value)
    ]
    if has_name:
        reasons.append("a name without an employer")
    if has_employer:
        reasons.append("an employer without a name")
    return reasons or ["no id, linkedin_url, email, npi_number, nor a name with an employer"]


def _strongest_identifier(requested: Requested) -> tuple[_Rule, identifiers.Identifier] | None:
    for rule in _RULES:
        value = getattr(requested, rule.field)
        if value and (identifier := rule.read(value)):
            return rule, identifier
    return None


def _build_from_name(requested: Requested) -> Query | None:
    name, employer = clean(requested.name or ""), clean(requested.employer or "")
    if not name or not employer:
        return None
    # White space is collapsed to single blanks, so a tab separates without ambiguity.
    identity = f"{_RULES_VERSION}:name:{fold(name)}\t{fold(employer)}"
    parameters: dict[str, str | int] = {"name": name, "current_employer": employer}
    if title := clean(requested.title or ""):
        parameters["title"] = title
    return Query(identity, parameters)


def _shortened(value: str) -> str:
    value = clean(value)
    return value if len(value) <= _LONGEST_QUOTE else f"{value[:_LONGEST_QUOTE]}…"
