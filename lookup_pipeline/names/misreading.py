"""What the letters of a text say about the encoding that it was read in."""

import re
from collections.abc import Sequence

# In a wrong encoding, signs stand between letters ("d±browska") and capitals after small letters
# ("JÅrgen"); the signs that this leaves out (dashes, quotation marks …) do so in texts as well.
# Croatian and Czech become letters that hardly ever meet ("Modriæ", "Dvoøák").
_SMALL = "a-zß-öø-ÿœšž"
_CAPITAL = "À-ÖØ-ÞŒŠŽŸ"
_MISREAD = re.compile(
    rf"[A-Z{_CAPITAL}{_SMALL}][^\x00-\x7f{_CAPITAL}{_SMALL}\xa0\xad·®\xb4«»•…™\u2013-\u201d][{_SMALL}]"
    rf"|[{_SMALL}](?<!Mc|De|Le|La|Di|Du)[{_CAPITAL}]|[A-Z][{_CAPITAL}][{_SMALL}]"
    "|[A-Z][\u2026\u2044][A-Z]|iæ|ø[áí]"
)
# Turkish becomes Icelandic letters, but has no acute accents. Hungarian has them, and becomes "õ",
# which is Estonian (without them) or stands before an "e" (Portuguese).
_ICELANDIC = re.compile("[þðýÞÐÝ]")
_ACUTE = re.compile("[áéíóúæÁÉÍÓÚÆ]")
_TILDE = re.compile("[õÕ](?![eE])")


def share_misread(lines: Sequence[str]) -> float:
    """How many of the lines have wrong letters; a single line never rules an encoding out."""
    return _count(_MISREAD, lines) / (len(lines) + 1)


def share_of_foreign_letters(lines: Sequence[str]) -> float:
    """How many of the lines are Turkish or Hungarian, going by letters that do not go together."""
    icelandic, tilde, acute = (_count(each, lines) for each in (_ICELANDIC, _TILDE, _ACUTE))
    turkish = icelandic if icelandic > 2 * acute else 0
    hungarian = tilde if tilde <= 2 * acute else 0
    return (turkish + hungarian) / (len(lines) + 1)


def _count(pattern: re.Pattern[str], lines: Sequence[str]) -> int:
    return sum(map(bool, map(pattern.search, lines)))
