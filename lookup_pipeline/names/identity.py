"""What is asked about a row (its query) and which rows mean the same person (their identity).

docs/identity.md has the rules in words, with examples.
"""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from lookup_pipeline.names import identifiers
from lookup_pipeline.names.employers import compare_employer
from lookup_pipeline.names.person_names import clean_name, is_legible, is_name, is_short
from lookup_pipeline.names.text import fold
from lookup_pipeline.names.values import said

RULES_VERSION = 3
"""An identity is stored for good and paid for once. Rules that make another text, or another query,
of any row need another version: then the ledger learns the new identities of the people it knows
(`enrichment.identities`), and nobody is looked up a second time."""

_VERSION = f"v{RULES_VERSION}"
CURRENT_PREFIX = f"{_VERSION}:"
"""What identities of today's rules begin with."""
_ID = f"{_VERSION}:id:"
_encode = msgspec.json.Encoder().encode


class Query(NamedTuple):
    """What is asked about one person.

    Attributes:
        identity: The text that all spellings of this query have in common, such as
            ``v3:linkedin:grace-hopper``. It begins with the version of the rules.
        parameters: What is sent to the API: exactly one of ``id``, ``linkedin_url``, ``email``,
            ``npi_number``, or ``name`` with ``current_employer`` and, where known, ``title``.
    """

    identity: str
    parameters: dict[str, str | int]

    def as_json(self) -> str:
        """The parameters as JSON text."""
        return _encode(self.parameters).decode()


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


class Kind(NamedTuple):
    """One kind of identifier that names a person alone."""

    field: str
    kind: str
    read: Callable[[str], identifiers.Identifier | None]


# The strongest first: the first valid one of a row is asked for.
IDENTIFIERS = (
    Kind("id", "id", identifiers.profile_id),
    Kind("linkedin_url", "linkedin", identifiers.linkedin_profile),
    Kind("email", "email", identifiers.email),
    Kind("npi_number", "npi", identifiers.npi_number),
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
    name but is no part of the identity. Values such as "N/A" say nothing.

    Returns:
        The query, or ``None`` when nothing can be asked; ``validation`` says why.
    """
    requested = Requested(name, employer, title, linkedin_url, email, npi_number, id)
    return query_of(Requested(*map(said, requested)))


def query_of(cleaned: Requested) -> Query | None:
    """Like ``build_query``, of values that ``values.said`` has cleaned."""
    for field, kind, read in IDENTIFIERS:
        value = getattr(cleaned, field)
        if value and (found := read(value)):
            return Query(f"{_VERSION}:{kind}:{found.compared}", {field: found.sent})
    name, employer = cleaned.name, cleaned.employer
    if not (name and employer and is_name(name) and is_short(employer) and is_legible(employer)):
        return None
    return _by_name(name, employer, cleaned.title)


def _by_name(name: str, employer: str, title: str | None) -> Query | None:
    name = clean_name(name)
    if (rest := said(name)) != name:
        # What was behind a title or a comma says something else, or nothing: 'Dr. ="Ada"', "N/A,".
        return _by_name(rest, employer, title) if rest and is_name(rest) else None
    # White space is collapsed to single blanks, so a tab separates without ambiguity.
    compared = f"{compare_name(name)}\t{compare_employer(employer)}"
    parameters: dict[str, str | int] = {"name": name, "current_employer": employer}
    if title and is_short(title):
        parameters["title"] = title
    return Query(f"{_VERSION}:name:{compared}", parameters)


def is_current(identity: str) -> bool:
    """Whether an identity was made by today's rules."""
    return identity.startswith(CURRENT_PREFIX)


def profile_id_of(identity: str) -> int | None:
    """The provider's id, where that is what is asked by; of an identity of today's rules."""
    return int(identity.removeprefix(_ID)) if identity.startswith(_ID) else None


def compare_name(cleaned: str) -> str:
    """Returns the form in which two cleaned names compare equal: folded, without full stops."""
    return fold(cleaned.replace(".", " "))
