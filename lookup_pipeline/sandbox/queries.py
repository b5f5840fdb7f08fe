"""What a client may ask: the parameters of a lookup, checked as the provider checks them."""

import re
import unicodedata
from typing import Annotated, Any, Literal
from urllib.parse import unquote

import msgspec
from msgspec import Meta, Struct

from lookup_pipeline.sandbox.answers import Refusal, malformed

MAX_IDS = 100  # a status check's, the provider's limit

_Text = Annotated[str, Meta(min_length=1)]
_PLACE_OF_MISTAKE = re.compile(r" - at `\$\.(\w+).*`$")
_LINKEDIN_HANDLE = re.compile(r"/(?:in|pub)/([^/?#]+)", re.IGNORECASE)


class LookupQuery(Struct, frozen=True, kw_only=True):
    """One lookup as it was asked for. Parameters the API does not know are ignored."""

    id: int | None = None
    linkedin_url: _Text | None = None
    linkedin_ext_url: _Text | None = None  # the deprecated name of linkedin_url
    email: Annotated[str, Meta(pattern=r"^[^@\s]+@[^@\s]+$")] | None = None
    npi_number: int | None = None
    phone: _Text | None = None
    name: _Text | None = None
    current_employer: _Text | None = None
    title: _Text | None = None
    lookup_type: (
        Literal["standard", "premium", "premium (feeds disabled)", "bulk", "phone", "enrich", ""]
        | None
    ) = None
    webhook_id: int | None = None
    # The provider's default since 2026-09-01.
    return_cached_emails: bool = False
    metadata: dict[str, Any] | None = None
    reveal_professional_email: bool = False
    reveal_personal_email: bool = False
    reveal_phone: bool = False
    reveal_detailed_person_enrichment: bool = False
    reveal_healthcare_enrichment: bool = False

    @property
    def credit_type(self) -> str:
        """Which kind of credit this lookup spends."""
        # "premium (feeds disabled)" is a premium lookup without one of its sources.
        return (self.lookup_type or "standard").removesuffix(" (feeds disabled)")

    @property
    def reveals(self) -> frozenset[str]:
        """The options of a universal lookup that are chosen, each of which is paid for."""
        return frozenset(option for option in REVEAL_OPTIONS if getattr(self, option))

    def person_key(self) -> str:
        """The one thing this query is known by; the same text is the same person.

        Coarser than any caller's idea of sameness, as the provider's matching is: case, accents,
        white space and punctuation make no difference, so two lookups can meet at one profile.
        """
        if self.linkedin_url or self.linkedin_ext_url:
            url = self.linkedin_url or self.linkedin_ext_url or ""
            handle = _LINKEDIN_HANDLE.search(url)
            return f"linkedin:{_plain(unquote(handle[1] if handle else url))}"
        if self.email:
            return f"email:{self.email.strip().casefold()}"
        if self.npi_number is not None:
            return f"npi:{self.npi_number}"
        if self.phone:
            return f"phone:{_plain(self.phone)}"
        return f"name:{_plain(self.name or '')}@{_plain(self.current_employer or '')}"


REVEAL_OPTIONS = tuple(name for name in LookupQuery.__struct_fields__ if name.startswith("reveal_"))


def lookup_query(parameters: dict[str, Any]) -> LookupQuery:
    """Check the parameters of one lookup, from a query string (all text) or from JSON.

    The API wants an id, a LinkedIn URL, an e-mail address, an NPI number, a phone number, or a
    name together with an employer.

    Raises:
        Refusal: 400, with the field and the reason.
    """
    if isinstance(parameters.get("metadata"), str):
        parameters = parameters | {"metadata": _metadata(parameters["metadata"])}
    try:
        query = msgspec.convert(parameters, LookupQuery, strict=False)
    except msgspec.ValidationError as error:
        place = _PLACE_OF_MISTAKE.search(str(error))
        reason = _PLACE_OF_MISTAKE.sub("", str(error))
        raise malformed(place[1] if place else "non_field_errors", reason) from None
    known_by = (query.linkedin_url, query.linkedin_ext_url, query.email, query.phone)
    if query.id is None and query.npi_number is None and not any(known_by):
        if not query.name and not query.current_employer:
            raise malformed(
                "non_field_errors",
                "One of id, linkedin_url, email, npi_number, phone, or name with "
                "current_employer is required.",
            )
        if not query.name:
            raise malformed("name", "This field is required with current_employer.")
        if not query.current_employer:
            raise malformed("current_employer", "This field is required with name.")
    return query


def profile_ids(values: list[str]) -> list[int]:
    """The ids of a status check, each of them once.

    Raises:
        Refusal: 400, when there are none, more than 100, or something that is no integer.
    """
    if not values:
        raise malformed("ids", "This field is required.")
    if len(values) > MAX_IDS:
        raise malformed("ids", f"Ensure this field has no more than {MAX_IDS} elements.")
    try:
        return list(dict.fromkeys(msgspec.convert(values, list[int], strict=False)))
    except msgspec.ValidationError:
        raise malformed("ids", "A valid integer is required.") from None


def bulk_queries(body: Any, *, least: int) -> tuple[list[LookupQuery], list[dict[str, Any]]]:
    """The queries of a bulk lookup, checked and as received.

    Args:
        body: The decoded request body.
        least: The fewest queries the operation takes; the most are 100.

    Raises:
        Refusal: 400; one wrong query refuses the whole job.
    """
    raw = body.get("queries") if isinstance(body, dict) else None
    if not isinstance(raw, list):
        raise malformed("queries", "A list of queries is required.")
    if not least <= len(raw) <= 100:
        raise malformed("queries", f"Between {least} and 100 queries are required.")
    queries = []
    for position, parameters in enumerate(raw):
        if not isinstance(parameters, dict):
            raise malformed("queries", f"Query {position}: expected an object.")
        try:
            queries.append(lookup_query(parameters))
        except Refusal as refusal:
            reason = refusal.answer.body.decode()
            raise malformed("queries", f"Query {position}: {reason}") from None
    return queries, raw


def _metadata(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        raise malformed("metadata", "Value must be valid JSON.") from None


def _plain(text: str) -> str:
    """Letters and digits alone, without accents and case."""
    # Normalising costs more than all the rest, and ASCII does not need it.
    folded = text if text.isascii() else unicodedata.normalize("NFKD", text)
    folded = folded.casefold()
    plain = "".join(filter(str.isalnum, folded))
    # A name of nothing but signs is still not everybody else's.
    return plain or text.strip()
