"""A person's name as it is sent and compared: without titles, credentials, nicknames and shouting.

What the rules leave alone goes out as it stands: a name that is cleaned too little costs a lookup
that finds nobody, one that is cleaned too much finds somebody else. Their lists are kept here and
change with ``identity``'s version only: a library's next release would make other people of the
same rows.
"""

import re

from lookup_pipeline.names.text import clean

# In front of a name, with or without a full stop. Not "Don", "Lord" or "Dean": they are names.
# fmt: off
_TITLES = frozenset({
    "mr", "mrs", "ms", "miss", "mx", "dr", "prof", "professor", "doctor", "sir", "rev",
    "reverend", "capt", "herr", "frau", "mme", "mlle", "monsieur", "madame", "dipl-ing",
    "dr-ing", "sra", "srta", "dott", "dra",
})
# fmt: on
# "M.S. Dhoni", "MS Dhoni": the initials of a name, as they are common in India.
_INITIALS = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]\.?|MS")
# "Prof. Dr. rer. nat."
_FACULTIES = frozenset({"med", "phil", "rer", "nat", "ing", "jur", "habil", "hc", "pol", "theol"})
# Those of them that are first names too, unless in lower case or with a full stop.
_FACULTIES_AND_NAMES = frozenset({"phil", "nat", "pol"})
# After a name, where nobody has them for a last name ...
# fmt: off
_CREDENTIALS = frozenset({
    "phd", "md", "mba", "cpa", "esq", "esquire", "dds", "dmd", "dvm", "facs", "frcs", "mbbs",
    "pharmd", "psyd", "jd", "llm", "msc", "bsc", "cfa", "cfp", "pmp", "rdn", "lcsw",
    "dnp", "aprn", "cissp",
})
# fmt: on
# ... and where "Ma", "Do", "Ba" and "Pa" are people: only in capitals, after a comma.
# fmt: off
_SHORT_CREDENTIALS = frozenset({
    "MA", "MS", "BA", "BS", "DO", "PA", "RN", "NP", "PE", "PT", "OD", "BSN", "MSN", "FNP", "DC",
    "MPH", "EdD", "EDD",
})
# fmt: on
# Those of them that are no first name in a list in capitals either.
_SHOUTED_CREDENTIALS = frozenset({"RN", "BSN", "MSN", "FNP", "MPH", "EDD"})
# They tell a father from his son, so they stay, in one spelling.
_GENERATIONS = {"jr": "Jr.", "jnr": "Jr.", "sr": "Sr.", "snr": "Sr."}
_GENERATIONS |= {word.upper(): kept for word, kept in _GENERATIONS.items()}
_GENERATIONS |= {"II": "II", "III": "III", "iii": "III", "IV": "IV"}

_OPENING, _CLOSING = "([{<\uff08\u3010", ")]}>\uff09\u3011"
_BRACKETED = re.compile(
    rf"[{re.escape(_OPENING)}][^{re.escape(_OPENING + _CLOSING)}]*[{re.escape(_CLOSING)}]"
)
_QUOTED = re.compile(
    r"""
    (?<!\S)
    (?:"[^"]*"|'[^']*'|\u201c[^\u201d]*\u201d|\u2018[^\u2019]*\u2019|\u00ab[^\u00bb]*\u00bb)
    (?!\S)
    """,
    re.VERBOSE,
)
_NO_BRACKETS = str.maketrans(dict.fromkeys(_OPENING + _CLOSING + '"\u201c\u201d\u00ab\u00bb', " "))

# Emoji and their modifiers: profiles wear them.
_EMOJI = re.compile(
    "[\u2122\u2139\u2194-\u21aa\u231a-\u23ff\u24c2\u25aa-\u27bf\u2934\u2935\u2b05-\u2b55\u3030"
    "\ufe0f\U0001f000-\U0001faff\U000e0020-\U000e007f]\u200d?"
)
# What is left over where something was taken away: "Grace Hopper - PhD".
_LOOSE_ENDS = " ,;|/-"

# Nothing of the above is in most names: they are done when this says so.
_WORD = r"[^\W\d_]+(?:['\u2019.-][^\W\d_]+)*\.?"
_PLAIN = re.compile(rf"{_WORD}(?: {_WORD})*")

# Scripts that write a name as one word.
_IN_ONE_WORD = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


# Longer than any name on record with all its parts: a sentence, or a column that slipped.
LONGEST = 200


def is_no_email(text: str) -> bool:
    """Whether a name is none of those that are e-mail addresses."""
    return "@" not in text


def is_no_address(text: str) -> bool:
    """Whether a name is none of those that are web addresses."""
    folded = text.casefold()
    return "://" not in folded and "www." not in folded and "linkedin.com" not in folded


def has_letters(text: str) -> bool:
    """Whether a name has letters at all: a phone number has none."""
    return text[:1].isalpha() or any(map(str.isalpha, text))


def is_legible(text: str) -> bool:
    """Whether no letters were lost before the file was written: U+FFFD stands for such a one."""
    return "\ufffd" not in text


def is_short(text: str) -> bool:
    """Whether a name, or an employer's, is short enough to be one."""
    return len(text) <= LONGEST


def is_name(text: str) -> bool:
    """Whether a text that is not blank can be a person's name."""
    return (
        is_short(text)
        and has_letters(text)
        and is_no_email(text)
        and is_no_address(text)
        and is_legible(text)
    )


def clean_name(text: str) -> str:
    """Returns the name to send, given one as it stands in a file.

    - "Dr. Grace Hopper, PhD" is "Grace Hopper"; "Jr.", "Sr.", "II" to "IV" stay.
    - "Hopper, Grace" is "Grace Hopper"; "Smith, Jr." is "Smith Jr.".
    - "GRACE HOPPER" is "Grace Hopper".
    - "Grace (Amazing Grace) Hopper" and 'Grace "Amazing" Hopper' are "Grace Hopper".
    - Emoji go; letters of any script, accents, hyphens and apostrophes stay.

    Cleaning a cleaned name changes nothing.
    """
    name = original = clean(text)
    while (cleaner := _clean_once(name)) != name:
        name = cleaner
    return name if has_letters(name) else original


def _clean_once(name: str) -> str:
    if _PLAIN.fullmatch(name) and not _has_more_than_a_name(name):
        return name
    name = clean(_without_nicknames(clean(_EMOJI.sub(" ", name))))
    parts = [part.strip() for part in name.split(",")]
    parts = [each for each in parts if each]
    suffixes: list[str] = []
    # "Salinger, J.D." and "LE, MA" are people: one word alone has no suffixes behind it.
    while len(" ".join(parts[:-1]).split()) > 1 and (
        # "DOE, JANE, MA": a third part is no first name.
        (kept := _only_suffixes(parts[-1], shouted=name.isupper() and len(parts) == 2)) is not None
    ):
        suffixes = kept + suffixes
        parts.pop()
    if len(parts) == 2 and is_generation(parts[1]):
        # "Smith, Jr.": no first name is known, and the suffix is none.
        last, of_last = _split_suffixes(_without_titles(parts[0], keep=1), keep=1)
        words, suffixes = [last], [*of_last, str(_generation(parts[1])), *suffixes]
    elif len(parts) == 2 and not _is_a_remark(*parts):
        # "Last, First"; what stands behind the last name belongs behind the whole.
        last, of_last = _split_suffixes(_without_titles(parts[0], keep=1), keep=1)
        first, of_first = _split_suffixes(_without_titles(parts[1], keep=1), keep=1)
        words, suffixes = [first, last], of_first + of_last + suffixes
    else:
        # More commas than a name has: nobody can tell what they mean.
        # "Mr. Smith" and "Mrs. Smith" are two people: no title goes where it leaves one word.
        rest, found = _split_suffixes(_without_titles(", ".join(parts), keep=2), keep=2)
        words, suffixes = [rest], found + suffixes
    name = " ".join(words)
    name = name.strip(_LOOSE_ENDS)
    if name.isupper():
        name = name.title()
    return clean(" ".join([name, *dict.fromkeys(suffixes)]))


def _has_more_than_a_name(name: str) -> bool:
    if name.isupper():
        return True
    words = name.split(" ")
    if len(words) < 3:
        return False
    last = words[-1]
    return _is_title(words[0], shouted=False) or (_is_suffix(last) and _generation(last) != last)


def _bare(word: str) -> str:
    return word.replace(".", "").casefold()


def _without_nicknames(name: str) -> str:
    rest = clean(_QUOTED.sub(" ", _BRACKETED.sub(" ", name)))
    if len(rest.split()) > 1 or _IN_ONE_WORD.search(rest):
        return rest
    # "Grace (Hopper)": what stands in brackets is half of the name.
    return name.translate(_NO_BRACKETS)


def _without_titles(part: str, *, keep: int) -> str:
    """A part without the titles in front of it; so many words are not titles."""
    words = part.split()
    first, shouted = 0, part.isupper()
    while len(words) - first > keep and (
        _is_title(words[first], shouted=shouted) or (first and _is_faculty(words[first]))
    ):
        first += 1
    return " ".join(words[first:])


def _is_title(word: str, *, shouted: bool) -> bool:
    return _bare(word) in _TITLES and (shouted or not _INITIALS.fullmatch(word))


def _is_faculty(word: str) -> bool:
    bare = _bare(word)
    return bare in _FACULTIES and (
        bare not in _FACULTIES_AND_NAMES or word.islower() or word.endswith(".")
    )


def _is_a_remark(before: str, behind: str) -> bool:
    """Whether what stands behind a comma is no first name: "John Smith, CEO", "Smith, PhD"."""
    if behind.isupper() and not before.isupper() and len(before.split()) > 1:
        return True
    words = behind.split()
    return all(len(_bare(word)) > 2 and _is_suffix(word) for word in words)


def _only_suffixes(part: str, *, shouted: bool) -> list[str] | None:
    """The generations among a part's words, if it has nothing but suffixes; else ``None``.

    In a name all in capitals most short credentials are first names as likely as not.
    """
    words = part.split()
    short = _SHOUTED_CREDENTIALS if shouted else _SHORT_CREDENTIALS
    if not all(_is_suffix(word) or word.replace(".", "") in short for word in words):
        return None
    return [found for word in words if (found := _generation(word)) is not None]


def _is_suffix(word: str) -> bool:
    bare = _bare(word)
    if bare == "md":
        # "Md" is short for Mohammed.
        return "MD" in word.replace(".", "")
    return bare in _CREDENTIALS or _generation(word) is not None


def is_generation(text: str) -> bool:
    """Whether a text is what tells a father from his son: "Jr.", "Sr.", "III"."""
    return _generation(text) is not None


def _generation(word: str) -> str | None:
    """In its one spelling. "J.R." are initials, and "Ii" is a Japanese name."""
    word = word.rstrip(".")
    return _GENERATIONS.get(word if word.isupper() else word.casefold())


def _split_suffixes(part: str, *, keep: int) -> tuple[str, list[str]]:
    """A part without the suffixes at its end, and the generations among them."""
    words = part.split()
    kept: list[str] = []
    while len(words) > keep and _is_suffix(words[-1]):
        if (generation := _generation(words.pop())) is not None:
            kept.insert(0, generation)
    return " ".join(words), kept
