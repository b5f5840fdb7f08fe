"""The four identifiers that each name a person alone: what is valid, what is sent, what is equal.

``None`` from a function here means "not valid". Texts may have any outer white space.
"""

import re
from typing import NamedTuple
from urllib.parse import quote, unquote

from lookup_pipeline.names.text import clean_identifier, fold_identifier
from lookup_pipeline.names.values import is_placeholder

# What spreadsheets do to whole numbers: "5244.0" where the column had a gap, "'5244" and "005244"
# where somebody kept it as text. "5.244E+03" has lost digits and is none; "5.000" is five thousand
# in some countries.
_WHOLE = r"'?{}(?:\.00?)?"

# 18 digits fit a signed 64-bit integer, which is what databases and Parquet keep ids in.
_PROFILE_ID = re.compile(_WHOLE.format("0*([1-9][0-9]{0,17})"))

# A number that begins with 0 would lose that digit on its way to the API.
_NPI_NUMBER = re.compile(_WHOLE.format("([1-9][0-9]{9})"))

# RFC 5321: a path of 256 characters, less its angle brackets.
_LONGEST_EMAIL = 254

# One address. RFC 5321 allows more signs in front of the @, which nobody's address has and which
# are left over from something else ("|g@x.org|", "mailto%3Ag@x.org").
_IN_NO_EMAIL = r"""\s@<>()\[\],;:"\\|*=?%`\u2018-\u201f\u00ab\u00bb"""
_IN_NO_DOMAIN = rf"{_IN_NO_EMAIL}/.'"
_EMAIL = re.compile(
    rf"(?![.'])[^{_IN_NO_EMAIL}]+@(?:(?!-)[^{_IN_NO_DOMAIN}]+\.)+(?![\d-])[^{_IN_NO_DOMAIN}]{{2,}}"
)
# What mail programs and spreadsheets put around one: "Grace <g@x.org>", "mailto:g@x.org",
# "'g@x.org'", "<g@x.org>,".
_WRAPPED_EMAIL = re.compile(
    r"""
    (?:[^<>@]*<)?  (?:mailto:)?  ['"\u2018\u201c]?
    (?P<email>[^\s<>]+?)
    ['"\u2019\u201d]?  >?  [.,;]?
    """,
    re.VERBOSE | re.IGNORECASE,
)
_LONGEST_WRAPPED = 1_000

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
# No browser takes a longer one, and decoding it again and again would take for ever.
_LONGEST_URL = 2_048

# What most lists hold, for which nothing needs decoding.
_PLAIN_PROFILE = re.compile(r"https://www\.linkedin\.com/in/([A-Za-z0-9-]+)/?")
_SALES_NAVIGATOR = re.compile(
    r"(?:(?:https?:)?//)?(?:[a-z0-9-]+\.)*linkedin\.com/+sales/.*", re.IGNORECASE
)
_PUB_NUMBERS = re.compile(r"(?:/+[0-9a-z]+){3}", re.IGNORECASE)
# LinkedIn's own keys, which tell people apart by their case; all other handles do not.
_OPAQUE_HANDLE = re.compile("AC[ow]AA.*")
_NOT_IN_A_HANDLE = re.compile(r"[\s/?#%\\\ufffd]")
# Percent-encoded they are letters like others.
_NOT_IN_A_URL = re.compile(r"""[:;,|@&="<>(){}\[\]*\u2026]""")
# What a sentence leaves behind a URL.
_BEHIND_A_HANDLE = ".,;)\u2026'"
# Pages of LinkedIn's own, and what a broken export puts in the place of a handle.
_NO_HANDLES = frozenset({"me", "unavailable", "in", "pub", "edit", "http:", "https:"})


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
    return _whole_number(_PROFILE_ID, text)


def npi_number(text: str) -> Identifier | None:
    """Reads a US National Provider Identifier: a 10-digit number."""
    return _whole_number(_NPI_NUMBER, text)


def _whole_number(form: re.Pattern[str], text: str) -> Identifier | None:
    # The two of "5\u00b2" is a footnote's, not a digit of the number; NFKC would make it one.
    if not text.isascii() and any(char.isdigit() and not char.isdecimal() for char in text):
        return None
    match = form.fullmatch(clean_identifier(text))
    return Identifier(int(match[1]), match[1]) if match else None


def email(text: str) -> Identifier | None:
    """Reads one e-mail address, also as mail programs write it (``Grace <g@example.org>``)."""
    if len(text) > _LONGEST_WRAPPED:
        return None
    # Word processors write o\u2019brien@x.org.
    address = clean_identifier(text).replace("\u2019", "'")
    if not _EMAIL.fullmatch(address) and (wrapped := _WRAPPED_EMAIL.fullmatch(address)):
        address = wrapped["email"]
    if len(address) > _LONGEST_EMAIL or not _EMAIL.fullmatch(address):
        return None
    return Identifier(address, fold_identifier(address))


def linkedin_profile(text: str) -> Identifier | None:
    """Reads the URL of a person's LinkedIn profile (``/in/…`` or ``/pub/…``) down to its handle.

    The handle is sent in its own case, because LinkedIn's opaque handles (``ACoAA…``) need it.
    """
    if len(text) > _LONGEST_URL:
        return None
    if (plain := _PLAIN_PROFILE.fullmatch(text)) is not None:
        return _profile_at(f"in/{plain[1]}", plain[1])
    match = _LINKEDIN_PROFILE.fullmatch(clean_identifier(text))
    if match is None:
        return None
    written = match["handle"].rstrip(_BEHIND_A_HANDLE)
    handle = _decoded(written)
    if not handle or _NOT_IN_A_HANDLE.search(handle) or _NOT_IN_A_URL.search(written):
        return None
    if match["kind"].lower() == "pub":
        return _pub_profile(handle, match["rest"])
    return _profile_at(f"in/{quote(handle)}", handle)


def is_sales_navigator(text: str) -> bool:
    """Whether a URL leads into LinkedIn's Sales Navigator, which names nobody outside of it."""
    # Looked for first, because it is quick and nearly always missing.
    return "/sales/" in text.lower() and bool(_SALES_NAVIGATOR.fullmatch(clean_identifier(text)))


def _pub_profile(handle: str, rest: str) -> Identifier | None:
    """An old public URL: its three numbers tell people of the same name apart, so they stay."""
    if handle.lower() == "dir":  # a directory of people, not a person
        return None
    numbers = _PUB_NUMBERS.match(rest)
    if numbers is None:
        return _profile_at(f"in/{quote(handle)}", handle)
    tail = re.sub("/+", "/", numbers[0])
    return _profile_at(f"pub/{quote(handle)}{tail}", handle + tail)


def _profile_at(path: str, handle: str) -> Identifier | None:
    lower = handle.lower()
    if lower in _NO_HANDLES or "linkedin.com" in lower:
        return None
    # An emoji alone is a handle, "-" and "null" are none.
    if handle.isascii() and is_placeholder(handle):
        return None
    compared = handle if _OPAQUE_HANDLE.fullmatch(handle) else fold_identifier(handle)
    return Identifier(f"https://www.linkedin.com/{path}", compared)


def _decoded(handle: str) -> str:
    # Some exports encode twice, and a handle has no percent sign of its own.
    while (decoded := unquote(handle)) != handle:
        handle = decoded
    return clean_identifier(handle)
