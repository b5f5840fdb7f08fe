"""Values that say "no value", and what a value says beneath what programs put around it."""

import html
import re

from lookup_pipeline.names.text import clean

# What spreadsheets, databases, pandas and CRMs write where they know nothing. Whole values only,
# and no list of our wishes: "Self-employed" and "Unknown Worlds" are employers.
_PLACEHOLDERS = frozenset(
    {
        "(blank)",
        "(leer)",
        "(none)",
        "(null)",
        "(vide)",
        "<na>",
        "<null>",
        "[not provided]",
        "[null]",
        "[object object]",
        "\\n",
        "false",
        "loading...",
        "n / a",
        "n.a.",
        "n/a",
        "na",
        "nan",
        "nil",
        "no company",
        "none",
        "not applicable",
        "not available",
        "not provided",
        "null",
        "tbd",
        "undefined",
        "unknown",
    }
)

# A spreadsheet's errors in any language: #N/A, #NV, #REF!, #BEZUG!, #NOM?, #DIV/0!
_SPREADSHEET_ERROR = re.compile(r"#(?:[^\W\d_]+[!?]|\w+/\w[!?]?|nv)")

_LONGEST = max(map(len, _PLACEHOLDERS))

_LONGEST_PACKED = 2_000

# How Excel is told that digits are text: ="00123".
_FORMULA = re.compile('="([^"]*)"')
# What web pages leave behind: AT&amp;T, O&#39;Brien.
_HTML = re.compile(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z]{2,8});", re.IGNORECASE)


def said(text: str | None) -> str | None:
    """The value cleaned, without what Excel and web pages put around it; None for nothing."""
    if not text:
        return None
    cleaned = clean(text)
    # Longer ones are documents: to unpack them again and again would take for ever.
    if ("&" in cleaned or cleaned[:1] == "=") and len(cleaned) <= _LONGEST_PACKED:
        while (unpacked := _unpacked(cleaned)) != cleaned:
            cleaned = unpacked
    return None if not cleaned or is_placeholder(cleaned) else cleaned


def _unpacked(text: str) -> str:
    formula = _FORMULA.fullmatch(text)
    return clean(_HTML.sub(_character, formula[1] if formula else text))


def _character(entity: re.Match[str]) -> str:
    # Half of an emoji is no character.
    return html.unescape(entity[0]).replace("\ufffd", "")


def is_placeholder(text: str) -> bool:
    """Whether a value stands for none: ``N/A``, ``null``, or nothing but punctuation (``-``)."""
    if len(text) <= _LONGEST and text.strip().casefold() in _PLACEHOLDERS:
        return True
    if text[:1] == "#" and _SPREADSHEET_ERROR.fullmatch(text.strip().casefold()):
        return True
    return not (text[:1].isalnum() or any(map(str.isalnum, text)))
