"""Files of which every row is known: where it stands, what it says, whether it is of use."""

import gzip
import re
from dataclasses import dataclass

import zstandard
from hypothesis import strategies as st

_ENDING = re.compile(r"\r\n|\n|\r")

# Fields beyond what says whom to look up; their headers are alike in no way that matters.
_FURTHER = ("note", "Phone", "Größe", "crm_id", "score %", "Kommentar, frei", 'the "other" one')
_NAMES = (
    *("Ada Lovelace", "Hopper, Grace", "Dr. Emmy Noether, PhD", "Kurt Gödel", "José Álvarez"),
    *('Jean "Betty" Bartik', "  Alan Turing ", "MARY JACKSON", "O'Brien;Pat", "Li|Na", "Bo\tDerek"),
)
_WIDE_NAMES = (
    *_NAMES,
    "山田太郎",
    "Łukasz Żółć",
    "Ada\u200b Byron",
    "Ada\u2028Byron",
    "Ada 🚀 Byron",
)
_EMPLOYERS = ("Acme", "Müller & Söhne GmbH", "Engines, Ltd.", 'The "Firm"', "A/S; Ærø", "=Sum|One")
_EMAILS = ("ada@example.com", " grace@example.org ", "j.o'brien+x@sub.example.co.uk")
_URLS = ("https://www.linkedin.com/in/ada-l", "linkedin.com/in/j%C3%BCrgen?x=1", "/pub/no-use")
_NOTHING = ("", " ", "N/A", "-", "null", "\u00a0")
_NO_IDENTIFIER = ("nobody", "a@b", "12 34", "x" * 300, "@", "http://example.com", '"')

# Windows-1252 is known by its words, and UTF-16 without a mark by its many NULs. Neither signs nor
# capitals stand behind small letters: a list of such words was read in a wrong encoding.
_WESTERN = st.sampled_from(
    (*("été ", "Größe", "niño ", "façade", " Ærø ", " € ", "“ok”"), *"ab ,;|\n\"'")
)
_LATIN = st.sampled_from("abz ÄßéñÇ€“”,;|\t\"'\n\r\\/#=@.-0123456789 ")
# A byte order mark is no text where a line begins.
_ANY = st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff")

_TITLES = ("Contacts", "Exported on 2026-01-05", "  ", "© “Fair” 2026", '"Report"')


@dataclass(frozen=True)
class Row:
    """A row as it was made.

    Attributes:
        line: the physical line on which it starts.
        text: its text, without the line ending.
        values: what is in it, column by column, without blank ones at the end.
        usable: whether somebody can be looked up by it.
    """

    line: int
    text: str
    values: tuple[str, ...]
    usable: bool


@dataclass(frozen=True)
class Made:
    """A file as it was made.

    Attributes:
        content: its bytes.
        codec: what they are written in.
        delimiter: what separates the fields.
        header: the column's names.
        rows: those below the header.
    """

    content: bytes
    codec: str
    delimiter: str
    header: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def is_guess(self) -> bool:
        """Whether nothing but experience can tell what it is written in."""
        return self.codec == "cp1252"


@st.composite
def made_files(draw: st.DrawFn) -> Made:
    """Files that spreadsheets, CRMs and people could have written."""
    codec = draw(st.sampled_from(("utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252")))
    delimiter = draw(st.sampled_from(",;\t|"))
    ending = draw(st.sampled_from(("\n", "\r\n", "\r")))
    quoting = draw(st.sampled_from(("needed", "all", "some")))
    # A mark that is never closed: then no value may begin with what could close it.
    unclosed = draw(st.booleans())
    header = draw(_headers())
    trailing = draw(st.sampled_from((0, 0, 0, 1, 3)))
    writer = _Writer(draw, delimiter, quoting)
    lines = _lines_above(draw, delimiter)
    lines.append(writer.row(header, trailing))
    made = []
    for _ in range(draw(st.integers(0, 8))):
        lines += [""] * draw(st.sampled_from((0, 0, 0, 0, 1, 2)))
        kind = draw(st.sampled_from(_KINDS))
        values = draw(_rows(kind, header, codec, tame=unclosed))
        if kind == "stray":
            text = writer.stray(values, unclosed=unclosed)
        else:
            text = writer.row(values, trailing)
        made.append((len(lines), text, values, kind in {"person", "identifier"}))
        lines.append(text)
    last = draw(st.sampled_from((ending, "")))
    starts, line = [], 1
    for text in lines:
        starts.append(line)
        line += 1 + len(_ENDING.findall(text))
    text = ending.join(lines) + last
    content, codec = _encoded(text, codec)
    packing = draw(st.sampled_from(("none", "none", "gzip", "zstd")))
    return Made(
        _packed(content, packing),
        codec,
        delimiter,
        header,
        tuple(
            Row(starts[place], text, _without_blank_end(values), usable)
            for place, text, values, usable in made
        ),
    )


_KINDS = ("person", "person", "identifier", "nobody", "blank", "stray", "damaged", "surplus")


@st.composite
def _headers(draw: st.DrawFn) -> tuple[str, ...]:
    known = ["name", draw(st.sampled_from(("company", "Current Employer", "EMPLOYER")))]
    known += draw(st.lists(st.sampled_from(("title", "E-Mail", "linkedin_url")), unique=True))
    further = draw(st.lists(st.sampled_from(_FURTHER), min_size=1, max_size=4, unique=True))
    return tuple(draw(st.permutations([*known, *further])))


@st.composite
def _rows(
    draw: st.DrawFn, kind: str, header: tuple[str, ...], codec: str, *, tame: bool
) -> tuple[str, ...]:
    """A row's values; those that matter are what its kind promises."""
    alphabet = {"cp1252": _WESTERN, "utf-16-le": _LATIN}.get(codec, _ANY)
    mess = st.lists(alphabet, max_size=12).map("".join)
    if tame:
        mess = mess.map(lambda text: f"x{text}")
    further = {
        name: draw(st.sampled_from(_NOTHING) | mess)
        for name in header
        if name in _FURTHER or name == "title"
    }
    wide = codec not in {"cp1252", "utf-16-le"}
    someone = {
        "name": draw(st.sampled_from(_WIDE_NAMES if wide else _NAMES)),
        "employer": draw(st.sampled_from(_EMPLOYERS)),
    }
    nothing = st.sampled_from(_NOTHING)
    if kind in {"nobody", "blank"}:
        someone[draw(st.sampled_from(("name", "employer")))] = draw(nothing)
    elif kind == "identifier":
        someone = {"name": draw(nothing), "employer": draw(nothing)}
        if not {"E-Mail", "linkedin_url"} & {*header}:
            someone = {"name": _NAMES[0], "employer": _EMPLOYERS[0]}
    identifiers = {
        "E-Mail": draw(nothing | st.sampled_from(_NO_IDENTIFIER)),
        "linkedin_url": draw(nothing | st.sampled_from(_NO_IDENTIFIER)),
    }
    if kind == "identifier":
        # One of them is enough, whatever the other says.
        if "E-Mail" in header:
            identifiers["E-Mail"] = draw(st.sampled_from(_EMAILS))
        else:
            identifiers["linkedin_url"] = draw(st.sampled_from(_URLS[:2]))
    values = [
        further.get(name, identifiers.get(name, someone["name" if name == "name" else "employer"]))
        for name in header
    ]
    if kind == "blank":
        values = [""] * len(header)
    elif kind == "damaged":
        place = draw(st.integers(0, len(values) - 1))
        values[place] += "a\0"
    elif kind == "surplus":
        # Beyond whatever blank fields the header has at its end.
        values += ["", "", "", "", "more"]
    return tuple(values)


class _Writer:
    """Writes rows in one style."""

    def __init__(self, draw: st.DrawFn, delimiter: str, quoting: str) -> None:
        self._draw = draw
        self._delimiter = delimiter
        self._quoting = quoting

    def row(self, values: tuple[str, ...], trailing: int) -> str:
        """A row in order, perhaps short of blank fields at its end."""
        fields = [self._field(value) for value in values] + [""] * trailing
        blank = len(values) - len(_without_blank_end(values))
        if blank and len(values) - blank > 1 and self._draw(st.booleans()):
            fields = fields[: len(values) - blank]
        return self._delimiter.join(fields)

    def stray(self, values: tuple[str, ...], *, unclosed: bool) -> str:
        """A row on one line with a quotation mark that does not match."""
        plain = [re.sub('["\r\n]', "", value).replace(self._delimiter, "") for value in values]
        mark = '"never closed' if unclosed else self._draw(st.sampled_from(('"a"b', '"a" ')))
        return self._delimiter.join([*plain[:-1], mark])

    def _field(self, value: str) -> str:
        quoted = any(character in value for character in f'"\r\n{self._delimiter}')
        if self._quoting == "all" or (self._quoting == "some" and self._draw(st.booleans())):
            quoted = True
        return '"' + value.replace('"', '""') + '"' if quoted else value


def _lines_above(draw: st.DrawFn, delimiter: str) -> list[str]:
    lines: list[str] = []
    if draw(st.sampled_from((False, False, False, True))):
        lines.append(draw(st.sampled_from((f"sep={delimiter}", f'"sep={delimiter}"'))))
    titles = range(draw(st.sampled_from((0, 0, 0, 1, 3))))
    return [*lines, *(draw(st.sampled_from(("", *_TITLES))) for _ in titles)]


def _encoded(text: str, codec: str) -> tuple[bytes, str]:
    """The text's bytes; in UTF-8 where the encoding can't be told or does not have it all."""
    try:
        content = text.encode(codec)
    except UnicodeEncodeError:
        return text.encode(), "utf-8"
    if codec == "cp1252" and any(map(_is_utf8, content.splitlines())):
        return text.encode(), "utf-8"
    if codec == "utf-16-le" and content.count(0) < 0.3 * len(content):
        return text.encode("utf-16"), "utf-16"
    return content, codec


def _is_utf8(line: bytes) -> bool:
    """Whether a line with letters beyond ASCII reads as UTF-8 as well, by accident."""
    try:
        return not line.isascii() and bool(line.decode())
    except UnicodeDecodeError:
        return False


def _packed(content: bytes, packing: str) -> bytes:
    if packing == "gzip":
        return gzip.compress(content)
    return zstandard.compress(content) if packing == "zstd" else content


def _without_blank_end(values: tuple[str, ...]) -> tuple[str, ...]:
    length = len(values)
    while length and not values[length - 1]:
        length -= 1
    return values[:length]
