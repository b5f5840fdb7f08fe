"""Values that say "no value"."""

from lookup_pipeline.names.text import clean

# What spreadsheets, databases, pandas and CRMs write where they know nothing. Whole values only,
# and no list of our wishes: "Self-employed" and "Unknown Worlds" are employers.
_PLACEHOLDERS = frozenset(
    {
        "#n/a",
        "#name?",
        "#null!",
        "#ref!",
        "#value!",
        "(blank)",
        "(none)",
        "(null)",
        "<na>",
        "<null>",
        "[not provided]",
        "n.a.",
        "n/a",
        "na",
        "nan",
        "nil",
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

_LONGEST = max(map(len, _PLACEHOLDERS))


def said(text: str | None) -> str | None:
    """The value cleaned; None where it says nothing."""
    if not text:
        return None
    cleaned = clean(text)
    return None if not cleaned or is_placeholder(cleaned) else cleaned


def is_placeholder(text: str) -> bool:
    """Whether a value stands for none: ``N/A``, ``null``, or nothing but punctuation (``-``)."""
    if len(text) <= _LONGEST and text.strip().casefold() in _PLACEHOLDERS:
        return True
    return not (text[:1].isalnum() or any(map(str.isalnum, text)))
