"""What a file's bytes are written in: UTF-8, UTF-16, Windows-1252 or Mac Roman."""

import codecs
import re
from collections.abc import Iterator
from typing import IO, NamedTuple

from charset_normalizer import CharsetMatch, from_bytes

from lookup_pipeline.names.content import Content
from lookup_pipeline.names.errors import UnreadableFile
from lookup_pipeline.names.line_codec import LINE_BY_LINE, is_utf8
from lookup_pipeline.names.misreading import share_misread, share_of_foreign_letters

# Bytes that the encoding does not have are decoded to U+DC00 and the byte's value, so that one of
# them is one row's trouble and not the file's. No text holds such a character.
UNDECODABLE = "lookup_pipeline.undecodable"
UNDECODABLE_CHARACTER = re.compile("[\udc00-\udcff]")

_BYTE_ORDER_MARKS = (
    # The longer ones first: UTF-32's begins with UTF-16's.
    (codecs.BOM_UTF32_LE, "utf_32"),
    (codecs.BOM_UTF32_BE, "utf_32"),
    (codecs.BOM_UTF8, "utf_8_sig"),
    (codecs.BOM_UTF16_LE, "utf_16"),
    (codecs.BOM_UTF16_BE, "utf_16"),
)
_LABELS = {
    "utf_8": "UTF-8",
    "utf_8_sig": "UTF-8 with a byte order mark",
    "utf_16": "UTF-16",
    "utf_16_le": "UTF-16 LE",
    "utf_16_be": "UTF-16 BE",
    "utf_32": "UTF-32",
    "cp1252": "Windows-1252",
    "mac_roman": "Mac Roman",
}
# What Excel and the CRMs write in English and western European countries. More candidates would
# make every guess doubtful: Windows-1250 reads nearly all that Windows-1252 does, as other letters.
_EIGHT_BIT = ["cp1252", "mac_roman"]
# Like the other candidates, each with its share of misread lines.
_SIXTEEN_BIT = {"utf_16_le": 0.0, "utf_16_be": 0.0}

# Enough lines with letters beyond ASCII to tell encodings apart, and quick to judge.
_SAMPLE = 65_536
_CHUNK = 1 << 20
_BEYOND_ASCII = re.compile(rb"[\x80-\xff]")
# Rubbish in one value must not make the library take the whole for rubbish.
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_NOT_IN_WINDOWS_1252 = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")
# In Latin letters every second byte of UTF-16 is NUL; in other scripts those of line ends are.
_NULS_OF_UTF16 = 0.2
_LINE_ENDS = re.compile(rb"[\r\n]")
_LINE_ENDS_OF_UTF16 = re.compile(rb"\x00[\r\n]|[\r\n]\x00")

# Greek, Cyrillic, Chinese … No word in Latin letters has four accents in a row.
_OTHER_LETTERS = re.compile(rb"[\x80-\xff]{4}")

# Bounds what one line can take of the memory. Nobody exports a row of this size: it is no CSV.
_LONGEST_LINE = 64_000_000

_ONE_ROW_A_LINE = "save the file again as a CSV, in which each row stands on a line of its own"
_SAVE_AS_UTF8 = "save the file again as CSV UTF-8 (comma delimited)"


class Encoding(NamedTuple):
    """What a file is written in.

    Attributes:
        codec: Python's name for it.
        label: The name that people know.
        confidence: From 0 to 1; 1 where the bytes leave no doubt.
        damaged: Whether there are bytes that the encoding does not have, or NULs.
        rival: Another encoding that reads the file as well, or ``None``.
    """

    codec: str
    label: str
    confidence: float
    damaged: bool
    rival: str | None = None


class _Scan(NamedTuple):
    """What all of a file's bytes say: `beyond_ascii` is a sample of such lines."""

    is_utf8: bool
    has_nul: bool
    beyond_ascii: list[bytes]
    first_line_beyond: int


def detect_encoding(content: Content) -> Encoding:
    """Find out what a file is written in, from all of its bytes.

    A byte order mark decides, and so does a file that is UTF-8 from end to end: other text is that
    by accident only. What is mostly UTF-8 is UTF-8 with damaged rows. For the rest
    charset-normalizer says which of the 8-bit encodings makes readable text of it.

    Returns:
        The encoding; the content is at its beginning again.

    Raises:
        UnreadableFile: It is none of these encodings, or has a line without a sensible end.
    """
    file = content.bytes
    file.seek(0)
    start = file.read(_SAMPLE)
    _check_lines(content)
    scan = _scan(file)
    file.seek(0)
    for mark, codec in _BYTE_ORDER_MARKS:
        if start.startswith(mark):
            return Encoding(codec, _LABELS[codec], 1.0, not scan.is_utf8 or scan.has_nul)
    if start.count(0) >= _NULS_OF_UTF16 * len(start) > 0 or (
        not scan.is_utf8
        and 2 * len(_LINE_ENDS_OF_UTF16.findall(start)) > len(_LINE_ENDS.findall(start))
    ):
        return _guess(content.source_file, start[: len(start) // 2 * 2], _SIXTEEN_BIT, 1)
    if scan.is_utf8:
        return Encoding("utf_8", _LABELS["utf_8"], 1.0, scan.has_nul)
    share = _share_of_utf8(b"".join(scan.beyond_ascii))
    if share >= 0.5:
        return Encoding("utf_8", _LABELS["utf_8"], round(share, 2), damaged=True)
    lines = [line for line in scan.beyond_ascii if not is_utf8(line)]
    # One stray byte must not decide about a whole file.
    usual = [line for line in lines if not _NOT_IN_WINDOWS_1252.search(line)]
    lines = usual if len(usual) >= 0.9 * len(lines) else lines
    sample = _CONTROL.sub(b"", b"".join(lines))
    misread = {
        codec: share_misread(sample.decode(codec, "replace").splitlines())
        for codec in ([] if _is_in_other_letters(sample) else _EIGHT_BIT)
    }
    candidates = {codec: share for codec, share in misread.items() if share <= 0.5}
    found = _guess(content.source_file, sample, candidates, scan.first_line_beyond)
    foreign = share_of_foreign_letters(sample.decode(found.codec, "replace").splitlines())
    return found._replace(
        codec=LINE_BY_LINE + found.codec, confidence=round(found.confidence * (1 - foreign), 2)
    )


def _guess(source_file: str, sample: bytes, candidates: dict[str, float], line: int) -> Encoding:
    other = from_bytes(sample).best()
    unknown = _unknown(source_file, line, other)
    if not candidates:
        raise unknown
    matches = {
        match.encoding: match
        for match in from_bytes(sample, cp_isolation=list(candidates))
        if match.encoding in candidates
    }
    # How little of the text looks like a mistake.
    sound = {codec: (1 - match.chaos) * (1 - candidates[codec]) for codec, match in matches.items()}
    if not sound:
        last = _last_guess(sample, candidates, other)
        if last is None:
            raise unknown
        sound = {last: 0.0}
    # Where both make text of it equally well, the far commoner one, which comes first.
    best = max(candidates, key=lambda codec: sound.get(codec, -1.0))
    rivals = {_LABELS[codec]: score for codec, score in sound.items() if codec != best}
    if (
        best in matches
        and other is not None
        # Turkish and Chinese are text in Windows-1252 or Mac Roman as well, but no language.
        and (other.coherence > matches[best].coherence or other.multi_byte_usage > 0)
        and str(other) != sample.decode(best, "replace")
    ):
        rivals[other.encoding.replace("_", "-")] = 1 - other.chaos
    total = sound[best] + sum(rivals.values())
    return Encoding(
        best,
        _LABELS[best],
        round(sound[best] / (total or 1) * (1 - candidates[best]), 2),
        damaged=True,
        rival=next(iter(rivals), None),
    )


def _last_guess(
    sample: bytes, candidates: dict[str, float], other: CharsetMatch | None
) -> str | None:
    """The likeliest candidate for text that none makes sense of, if it is in Latin letters.

    A few odd characters in a small list must not cost the whole of it; a language that is written
    in other letters, or no text at all, must not go out as a row of signs.
    """
    if not sample:
        return None
    if candidates is _SIXTEEN_BIT:
        # Where most letters are ASCII, the place of their NULs tells the order of the bytes.
        low_first = sample[1::2].count(0) >= sample[::2].count(0)
        return "utf_16_le" if low_first else "utf_16_be"
    in_two_bytes = other is not None and other.multi_byte_usage > 0
    return None if in_two_bytes else next(iter(candidates))


def _unknown(source_file: str, line: int, other: CharsetMatch | None) -> UnreadableFile:
    problem = "not UTF-8 text, nor in another encoding that is known here"
    if other is not None and other.encoding not in _LABELS:
        problem += f" (perhaps {other.encoding.replace('_', '-')})"
    return UnreadableFile(source_file, line, problem, _SAVE_AS_UTF8)


def _is_in_other_letters(sample: bytes) -> bool:
    """Whether a fifth of the lines have words that Latin letters with accents do not make."""
    lines = sample.splitlines()
    return 5 * sum(map(bool, map(_OTHER_LETTERS.search, lines))) >= len(lines)


def _check_lines(content: Content) -> None:
    content.bytes.seek(0)
    length, lines = 0, 1
    for chunk in _chunks(content.bytes):
        last = max(chunk.rfind(b"\n"), chunk.rfind(b"\r"))
        length = length + len(chunk) if last < 0 else len(chunk) - last
        if length > _LONGEST_LINE:
            what = f"a line of {_LONGEST_LINE // 1_000_000} MB or more"
            raise UnreadableFile(content.source_file, lines, what, _ONE_ROW_A_LINE)
        lines += chunk.count(b"\n") or chunk.count(b"\r")


def _scan(file: IO[bytes]) -> _Scan:
    """Go through the whole file once: is it UTF-8, and which lines go beyond ASCII?"""
    file.seek(0)
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    is_utf8, has_nul = True, False
    for chunk in _chunks(file):
        has_nul = has_nul or b"\0" in chunk
        try:
            decoder.decode(chunk)
        except UnicodeDecodeError:
            is_utf8 = False
            break
    else:
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            is_utf8 = False
    if is_utf8:
        return _Scan(is_utf8, has_nul, [], 0)
    lines, size, first = [], 0, 0
    file.seek(0)
    for number, line in enumerate(_lines(file), 1):
        if _BEYOND_ASCII.search(line):
            first = first or number
            lines.append(line)
            size += len(line)
            if size > _SAMPLE:
                break
    return _Scan(is_utf8, has_nul, lines, first)


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """Lines by any ending; a very long one in pieces, which is good enough for a sample."""
    while piece := file.readline(_CHUNK):
        yield from piece.splitlines(keepends=True)


def _share_of_utf8(sample: bytes) -> float:
    """How much of what is beyond ASCII is UTF-8: letters of other encodings hardly ever are."""
    text = sample.decode("utf-8", "replace")
    beyond = sum(not char.isascii() for char in text)
    return (beyond - text.count("\ufffd")) / beyond


def _keep_bytes(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    bad = error.object[error.start : error.end]
    return "".join(chr(0xDC00 + byte) for byte in bad), error.end


codecs.register_error(UNDECODABLE, _keep_bytes)
