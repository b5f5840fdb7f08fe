"""The four identifiers that each name a person alone: what is valid, what is sent, what is equal.

``None`` from a function here means "not valid". Texts may have any outer white space.
"""

import re
from typing import NamedTuple
from urllib.parse import quote, unquote

from lookup_pipeline.names.text import clean_identifier, fold_identifier

# 18 digits fit a signed 64-bit integer, which is what databases and Parquet keep ids in.
_PROFILE_ID = re.compile(r"0*([1-9][0-9]{0,17})")

# A number that begins with 0 would lose that digit on its way to the API.
_NPI_NUMBER = re.compile(r"[1-9][0-9]{9}")

# One address and nothing around it ("Grace <g@example.org>", "mailto:…", "a@x.org;b@x.org").
_EMAIL = re.compile(
    r"""[^\s@<>()\[\],;:"\\]+@[^\s@<>()\[\],;:"\\/.]+(\.[^\s@<>()\[\],;:"\\/.]+)+"""
)

_LINKEDIN_PROFILE = re.compile(
    r"""
    (?:(?:https?:)?//)?
    (?:[a-z0-9-]+\.)*linkedin\.com\.?(?::\d+)?   # any country's or the mobile host
    /+(?:mwlite/+)?                              # the mobile site's prefix
    (?P<kind>in|pub)/+
    (?P<handle>[^/?\#]+)
    (?P<rest>[^?\#]*)
    (?:[?\#].*)?
    """,
    re.VERBOSE | re.IGNORECASE,
)
_PUB_NUMBERS = re.compile(r"(?:/+[0-9a-z]+){3}", re.IGNORECASE)
_NOT_IN_A_HANDLE = re.compile(r"[\s/?#%\\\ufffd]")


class Identifier(NamedTuple):
    """A valid identifier.

    Attributes:
        sent: The value for the API.
        compared: The text two spellings of the same identifier have in common.
    """

    sent: str | int
    compared: str


def profile_id(text: str) -> Identifier | None:
    """Reads a provider's profile id: a positive whole number of at most 18 digits."""
    match = _PROFILE_ID.fullmatch(clean_identifier(text))
    return Identifier(int(match[1]), match[1]) if match else None


def npi_number(text: str) -> Identifier | None:
    """Reads a US National Provider Identifier: a 10-digit number."""
    match = _NPI_NUMBER.fullmatch(clean_identifier(text))
    return Identifier(int(match[0]), match[0]) if match else None


def email(text: str) -> Identifier | None:
    """Reads one e-mail address."""
    address = clean_identifier(text)
    return Identifier(address, fold_identifier(address)) if _EMAIL.fullmatch(address) else None


def linkedin_profile(text: str) -> Identifier | None:
    """Reads the URL of a person's LinkedIn profile (``/in/…`` or ``/pub/…``) down to its handle.

    The handle is sent in its own case, because LinkedIn's opaque handles (``ACoAA…``) need it.
    """
    match = _LINKEDIN_PROFILE.fullmatch(clean_identifier(text))
    if match is None:
        return None
    handle = _decoded(match["handle"])
    if not handle or _NOT_IN_A_HANDLE.search(handle):
        return None
    if match["kind"].lower() == "pub":
        return _pub_profile(handle, match["rest"])
    return _profile_at(f"in/{quote(handle)}", handle)


def _pub_profile(handle: str, rest: str) -> Identifier | None:
    """An old public URL: its three numbers tell people of the same name apart, so they stay."""
    if handle.lower() == "dir":  # a directory of people, not a person
        return None
    numbers = _PUB_NUMBERS.match(rest)
    if numbers is None:
        return _profile_at(f"in/{quote(handle)}", handle)
    tail = re.sub("/+", "/", numbers[0])
    return _profile_at(f"pub/{quote(handle)}{tail}", handle + tail)


def _profile_at(path: str, handle: str) -> Identifier:
    return Identifier(f"https://www.linkedin.com/{path}", fold_identifier(handle))


def _decoded(handle: str) -> str:
    # Some exports encode twice, and a handle has no percent sign of its own.
    while (decoded := unquote(handle)) != handle:
        handle = decoded
    return clean_identifier(handle)
