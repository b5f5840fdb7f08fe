"""Cleaning and comparing text: what is sent, and what decides that two spellings are one."""

import re
import unicodedata

# Marks that cannot be seen and that copying from web pages leaves behind: soft hyphen, zero-width
# space, directional marks, word joiner, byte order mark. The zero-width joiners stay: Persian and
# Indic scripts spell with them. Control characters that are no white space go with them.
_CONTROL = "\\x00-\\x08\\x0e-\\x1b\\x7f"
_INVISIBLE = re.compile(
    f"[{_CONTROL}\x80-\x84\x86-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]"
)
_ASCII_CONTROL = re.compile(f"[{_CONTROL}]")

# Written as escapes because they look alike: quotation marks, primes, the acute accent and the
# modifier letters that stand for an apostrophe; angle and double quotation marks; hyphens, dashes
# and the minus sign.
_APOSTROPHES = "\u2018\u2019\u201a\u201b\u2032\u2035\u00b4\u02b9\u02bb\u02bc\u02bd"
_QUOTATION_MARKS = "\u201c\u201d\u201e\u201f\u2033\u2036\u00ab\u00bb"
_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"
_PLAIN = dict.fromkeys(_APOSTROPHES, "'") | dict.fromkeys(_QUOTATION_MARKS, '"')
_PLAIN |= dict.fromkeys(_DASHES, "-")
_TYPOGRAPHIC = re.compile(f"[{_APOSTROPHES}{_QUOTATION_MARKS}{_DASHES}]")


def clean(text: str) -> str:
    """Returns the text as it is sent: NFC, white space collapsed, invisible marks removed."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", _INVISIBLE.sub("", text))
    elif not text.isprintable():
        text = _ASCII_CONTROL.sub("", text)
    elif "  " not in text and text.strip() == text:
        # Nearly all values: what is printable in ASCII has no other white space.
        return text
    return _collapse(text)


def fold(text: str) -> str:
    """Returns the form in which two spellings of the same prose compare equal.

    On top of ``clean``: compatibility forms unified (NFKC), case folded, typographic quotation
    marks and dashes made plain. Accents stay: they tell people apart.
    """
    text = clean(text)
    if text.isascii():
        return text.casefold()
    while (folded := _fold_once(text)) != text:
        # Case folding can undo a normal form and the reverse: only a stable text is comparable.
        text = folded
    return text


def _fold_once(text: str) -> str:
    plain = _TYPOGRAPHIC.sub(lambda mark: _PLAIN[mark[0]], text)
    return _collapse(unicodedata.normalize("NFKC", plain.casefold()))


def clean_identifier(text: str) -> str:
    """Returns an identifier (number, e-mail, URL) as it is sent: ``clean``, and NFKC.

    NFKC because digits and letters of other widths come out of some keyboards.
    """
    text = clean(text)
    return text if text.isascii() else clean(unicodedata.normalize("NFKC", text))


def fold_identifier(text: str) -> str:
    """Returns the form in which two spellings of an e-mail or a LinkedIn handle compare equal.

    Lower case, not case folding: ``straße.example`` and ``strasse.example`` are two domains.
    """
    text = clean_identifier(text)
    if text.isascii():
        return text.lower()
    while (folded := clean_identifier(text.lower())) != text:
        text = folded
    return text


def _collapse(text: str) -> str:
    return " ".join(text.split())
