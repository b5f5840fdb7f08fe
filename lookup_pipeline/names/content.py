"""The bytes of a names file: fetched once, unpacked, kept until it is read to its end."""

import gzip
import tempfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, cast

import zstandard

from lookup_pipeline.names.errors import UnreadableFile
from lookup_pipeline.names.files import NamesFile

# A file is read more than once (what it is written in, then its rows). What is larger than this
# waits on the local disk, so that an object store is asked once and a replaced file is no mixture.
_IN_MEMORY = 16_000_000
_CHUNK = 1 << 20
_BITE = 4_096

# Unpacked. A few kilobytes can be made to fill any disk.
_LARGEST = 10_000_000_000

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"

# By their first bytes: what people name .csv, or mean to export as one.
_NO_CSV = (
    (b"PK\x03\x04", "a workbook or a ZIP archive, not a CSV file"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook, not a CSV file"),
    (b"%PDF", "a PDF document, not a CSV file"),
    (b"PAR1", "a Parquet file, not a CSV file"),
)
_SAVE_AS_CSV = "open it where it was made and save it as CSV UTF-8"
_SPLIT = "split it into several files of the same date"
_PACK_AGAIN = "copy the file again from where it was made: what arrived is incomplete or damaged"


@dataclass(frozen=True)
class Content:
    """One file's bytes.

    Attributes:
        source_file: the file's path below the names folder.
        compression: ``gzip``, ``zstd`` or ``none``.
        bytes: the unpacked bytes, from which one can read again after ``seek(0)``.
    """

    source_file: str
    compression: str
    bytes: IO[bytes]


@contextmanager
def open_content(file: NamesFile) -> Iterator[Content]:
    """Fetch a file whole and unpack it. Its first bytes say how it is packed, not its name.

    Raises:
        UnreadableFile: It is damaged, or something else than text.
        OSError: It is not there, its store does not answer, or the temporary folder has no room.
    """
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as spool, file.path.open("rb") as packed:
        start = packed.read(8)
        packed.seek(0)
        compression = "none"
        if start.startswith(_GZIP):
            compression = "gzip"
        elif start.startswith(_ZSTD):
            compression = "zstd"
        try:
            for chunk in _unpacked(cast("IO[bytes]", packed), compression):
                spool.write(chunk)
                if spool.tell() > _LARGEST:
                    problem = f"unpacked it is larger than {_LARGEST // 1_000_000_000} GB"
                    raise UnreadableFile(file.source_file, 1, problem, _SPLIT)
        except (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError) as error:
            problem = f"its {compression} data are damaged"
            raise UnreadableFile(file.source_file, 1, problem, _PACK_AGAIN) from error
        spool.seek(0)
        start = spool.read(8)
        for magic, problem in _NO_CSV:
            if start.startswith(magic):
                raise UnreadableFile(file.source_file, 1, problem, _SAVE_AS_CSV)
        spool.seek(0)
        yield Content(file.source_file, compression, cast("IO[bytes]", spool))


def _unpacked(packed: IO[bytes], compression: str) -> Generator[bytes, None, None]:
    if compression == "zstd":
        yield from _unpacked_zstd(packed)
        return
    stream = gzip.GzipFile(fileobj=packed) if compression == "gzip" else packed
    while chunk := stream.read(_CHUNK):
        yield chunk


def _unpacked_zstd(packed: IO[bytes]) -> Generator[bytes, None, None]:
    # Not the library's own stream: where a file is cut off, that ends as if it were whole.
    frame = None
    # In small bites: well packed, each grows ten thousandfold.
    while chunk := packed.read(_BITE):
        while chunk:
            frame = frame or zstandard.ZstdDecompressor().decompressobj()
            yield frame.decompress(chunk)
            chunk = frame.unused_data
            frame = None if frame.eof else frame
    if frame is not None:
        raise EOFError
