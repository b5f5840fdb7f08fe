"""What columns are called that say whom to look up.

Case, spaces, underscores and hyphens make no difference, nor what forms put behind a header:
``E-Mail``, ``Email *`` and ``Email:`` are ``email``.
"""

import re

from lookup_pipeline.names.text import clean

# The contract's names first, then those that exports write: Salesforce reports and Data Loader,
# HubSpot, LinkedIn's connections and the tools that export Sales Navigator lists, Apollo, Google
# Contacts (old and new). docs/input.md says which is whose.
ALIASES: dict[str, tuple[str, ...]] = {
    "name": ("name", "full name", "contact name", "lead name", "lead full name"),
    "employer": (
        "current employer",
        "employer",
        "company",
        "company name",
        "account name",
        "account.name",
        "company / account",
        "associated company (primary)",
        "associated company",
        "organization name",
        "organization 1 - name",
    ),
    "title": (
        "title",
        "job title",
        "position",
        "current job",
        "linkedin job title",
        "organization title",
        "organization 1 - title",
    ),
    "linkedin_url": (
        "linkedin url",
        "linkedin",
        "linkedin profile",
        "linkedin profile url",
        "person linkedin url",
        "linkedin url public",
        "linkedin contact profile url",
        "prospect linkedin url",
        "hs_linkedin_url",
        "linkedin profile__c",
        "linkedin url__c",
    ),
    "email": ("email", "email address", "e-mail 1 - value", "work email", "professional email"),
    "npi_number": ("npi number", "npi", "npi__c", "npi_number__c", "national provider identifier"),
    "id": ("id", "profile id"),
}

# They may serve where the columns above say nothing: a second address, or a column that some tools
# use for other things as well (a URL that is no profile is passed over).
LAST_RESORTS: dict[str, tuple[str, ...]] = {
    "employer": ("company name for emails", "organization", "organisation"),
    "linkedin_url": (
        "linkedin url unique id",
        "default profile url",
        "profile url",
        "url",
    ),
    "email": (
        "secondary email",
        "tertiary email",
        "e-mail 2 - value",
        "e-mail 3 - value",
    ),
}

# Parts of a name, in the order in which they make it.
PARTS: dict[str, tuple[str, ...]] = {
    "first name": ("first name", "given name", "first", "forename", "vorname"),
    "middle name": ("middle name",),
    "last name": ("last name", "family name", "last", "surname", "nachname"),
    "name suffix": ("name suffix", "suffix"),
}

# What forms write behind the header of a column that must be filled in.
_SIGNS_BEHIND = " *:"
_WORDS_BEHIND = ("(required)", "(optional)")
_SEPARATORS = re.compile(r"[\s_-]+")

_NO_SIGNS = str.maketrans("", "", " _-*:\ufeff\u00a0")


def column_key(header: str) -> str:
    """The form in which two spellings of a header compare equal."""
    key = clean(header).casefold().rstrip(_SIGNS_BEHIND)
    for word in _WORDS_BEHIND:
        key = key.removesuffix(word).rstrip(_SIGNS_BEHIND)
    return _SEPARATORS.sub("", key)


FIELD_BY_KEY = {
    column_key(alias): (rank, field)
    for rank, aliases in enumerate((ALIASES, LAST_RESORTS))
    for field, names in aliases.items()
    for alias in names
}
PART_BY_KEY = {column_key(alias): part for part, aliases in PARTS.items() for alias in aliases}


def is_column_name(text: str) -> bool:
    """Whether a text is the name of a column that says something about whom to look up."""
    key = column_key(text)
    return key in FIELD_BY_KEY or key in PART_BY_KEY


def quick_key(header: str) -> str:
    """Like a key, for a first look only."""
    return header.casefold().translate(_NO_SIGNS)
