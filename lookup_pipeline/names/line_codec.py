"""8-bit encodings, to which lines in UTF-8 are undecodable: files are joined."""

import codecs
import re
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

LINE_BY_LINE = "lookup_pipeline.line_by_line_"
"""In front of a codec's name: its text, with the bytes of lines in UTF-8 undecodable."""

# What UTF-8 is used for. "É®" in Windows-1252 is UTF-8 by accident, but a letter that no name has.
_USUAL_IN_UTF8 = re.compile("[\xa0-\u017f\u0300-\u036f\u2010-\u2122]|[^\x00-\x7f]{2}")
_MAYBE_UTF8 = re.compile(rb"[\xc2-\xf4][\x80-\xbf]")

_LONG = 1 << 20


def is_utf8(line: bytes) -> bool:
    """Whether a line beyond ASCII is UTF-8, and not by accident."""
    try:
        return _USUAL_IN_UTF8.search(line.decode("utf-8")) is not None
    except UnicodeDecodeError:
        return False


class _LineByLine(codecs.BufferedIncrementalDecoder):
    """Decodes an 8-bit encoding, to which the bytes of a line in UTF-8 are undecodable.

    Else every letter of such a line would be two of the encoding's: files are joined.
    """

    def __init__(self, codec: str, errors: str = "strict") -> None:
        super().__init__(errors)
        self._codec = codec

    def _buffer_decode(self, read: "ReadableBuffer", errors: str, final: bool) -> tuple[str, int]:
        data = bytes(read)
        # Long lines are decoded in pieces, for what is kept is copied again with every read.
        if not final and len(data) < _LONG:
            data = data[: max(data.rfind(b"\n"), data.rfind(b"\r")) + 1]
        if not _MAYBE_UTF8.search(data):
            return data.decode(self._codec, errors), len(data)
        text = (
            line.decode("ascii" if is_utf8(line) else self._codec, errors)
            for line in data.splitlines(keepends=True)
        )
        return "".join(text), len(data)


def _find_line_by_line(name: str) -> codecs.CodecInfo | None:
    if not name.startswith(LINE_BY_LINE):
        return None
    codec = codecs.lookup(name.removeprefix(LINE_BY_LINE))

    def decode(data: "ReadableBuffer", errors: str = "strict") -> tuple[str, int]:
        return _LineByLine(codec.name, errors).decode(data, final=True), len(bytes(data))

    return codecs.CodecInfo(
        codec.encode,
        decode,
        incrementalencoder=codec.incrementalencoder,
        incrementaldecoder=partial(_LineByLine, codec.name),
        name=name,
    )


codecs.register(_find_line_by_line)
