"""A names file as text: its content read in the encoding that was detected."""

import io
from collections.abc import Generator
from contextlib import contextmanager
from typing import TextIO, cast

from lookup_pipeline.names.content import Content
from lookup_pipeline.names.encoding import UNDECODABLE, Encoding


class TextFile:
    """A file's text, which can be read from its beginning any number of times, one at a time."""

    def __init__(self, content: Content, encoding: Encoding) -> None:
        self.source_file = content.source_file
        self.encoding = encoding
        self._bytes = content.bytes

    @contextmanager
    def open(self, line: int = 1) -> Generator[TextIO, None, None]:
        """The text from one of its lines on, line endings untouched."""
        self._bytes.seek(0)
        text = io.TextIOWrapper(
            cast("io.BytesIO", self._bytes), self.encoding.codec, UNDECODABLE, newline=""
        )
        try:
            for _above in range(1, line):
                text.readline()
            yield text
        finally:
            # Closing the text would close the bytes, which are read again.
            text.detach()

    def start(self, characters: int) -> str:
        """Its first characters."""
        with self.open() as text:
            return text.read(characters)
