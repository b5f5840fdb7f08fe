"""Employers as they are compared: without what the law makes a company add to its name.

The list changes with ``identity``'s version only; see ``person_names`` for the reason.
"""

import re
from functools import lru_cache

from lookup_pipeline.names.text import fold

# At the end of a name, any number of them. Nothing here tells two companies of one name apart for
# somebody who works at one of them; "Group", "Holding" and "International" may.
# fmt: off
_LEGAL_FORMS = frozenset({
    "ab", "ag", "aps", "as", "asa", "bhd", "bv", "co", "company", "corp", "corporation", "cv",
    "gmbh", "inc", "incorporated", "kft", "kg", "kk", "lda", "llc", "llp", "lp", "ltd", "ltda",
    "limited", "mbh", "nv", "ohg", "oy", "oyj", "plc", "pllc", "pte", "pty", "pvt", "rl", "sa",
    "sarl", "sas", "sdn", "se", "sl", "slu", "spa", "srl", "sro", "ug",
})
# fmt: on
# Between legal forms: "GmbH & Co. KG", "S.A. de C.V.", "Acme - Inc.".
_JOINING = frozenset({"and", "de", "-"})
_PUNCTUATION = re.compile(r"[,;()\"]")
# Registered marks, which some write and some do not.
_MARKS = str.maketrans("", "", "\u00ae\u2122\u00a9\u2120")
_DOTTED = re.compile(r"(?:\w\.)+\w?")
_SLASHED = {"a/s": "as", "k/s": "ks"}


@lru_cache(maxsize=65_536)  # lists name the same employers over and over
def compare_employer(text: str) -> str:
    """Returns the form in which two spellings of an employer compare equal.

    Folded; "&" is "and"; full stops of abbreviations, commas, legal forms at the end ("Inc.",
    "GmbH & Co. KG") and a last ".com" do not count. Applied to its own result, it changes nothing.
    """
    name = fold(text.translate(_MARKS))
    while (shorter := _shorten(name)) != name:
        name = shorter
    return name


def _shorten(name: str) -> str:
    words = [_plain(word) for word in _PUNCTUATION.sub(" ", name).replace("&", " and ").split()]
    words = [word for word in words if word]
    # What is left of "Inc." or "The Limited" is the name.
    ending = _LEGAL_FORMS
    while words[:-1] not in ([], ["the"]) and words[-1] in ending:
        words.pop()
        # "Acme GmbH & Co. KG", but "Banco de" is half a name.
        ending = _LEGAL_FORMS | _JOINING
    if words and words[-1].endswith(".com") and len(words[-1]) > 4:
        words[-1] = words[-1].removesuffix(".com")
    return fold(" ".join(words)) or name


def _plain(word: str) -> str:
    if word in _SLASHED:
        return _SLASHED[word]
    if _DOTTED.fullmatch(word):
        return word.replace(".", "")
    return word.rstrip(".")
