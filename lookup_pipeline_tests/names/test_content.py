"""How a file is packed, and what is no CSV in spite of its name."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from lookup_pipeline.names.content import open_content
from lookup_pipeline.names.errors import UnreadableFile
from lookup_pipeline_tests.names.helpers import names_file, read, report

TEXT = "name,company\nKurt Gödel,IAS\n".encode()

PACKED = {
    "none": TEXT,
    "gzip": gzip.compress(TEXT),
    "zstd": zstandard.compress(TEXT),
}


@pytest.mark.parametrize("compression", PACKED)
def test_the_first_bytes_say_how_a_file_is_packed_and_not_its_name(
    tmp_path: Path, compression: str
) -> None:
    # The name ends in .csv, whatever is in it.
    content = PACKED[compression]
    usable, _ = read(tmp_path, content)
    assert usable[0]["requested_name"] == "Kurt Gödel"
    assert report(tmp_path, content).facts()["compression"] == compression


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_parts_packed_one_by_one_and_joined_are_read_to_the_last(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    # What `cat a.csv.gz b.csv.gz` makes, and what some exports write.
    usable, _ = read(tmp_path, pack(TEXT) + pack(b"Ada,Acme\n"))
    assert [row["requested_name"] for row in usable] == ["Kurt Gödel", "Ada"]


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
@pytest.mark.parametrize("keep", [0.4, 0.99])
def test_a_packed_file_that_did_not_arrive_whole_is_an_error_and_never_half_a_file(
    tmp_path: Path, compression: str, keep: float
) -> None:
    many_rows = b"name,company\n" + b"".join(b"P%d,Acme %d\n" % (n, n * n) for n in range(5_000))
    pack = gzip.compress if compression == "gzip" else zstandard.compress
    packed = pack(many_rows)
    with pytest.raises(UnreadableFile) as caught:
        read(tmp_path, packed[: int(len(packed) * keep)])
    assert caught.value.problem == f"its {compression} data are damaged"
    assert "copy the file again" in caught.value.cure


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_a_packed_file_with_a_wrong_byte_is_an_error(tmp_path: Path, compression: str) -> None:
    many_rows = b"name,company\n" + b"".join(b"P%d,Acme %d\n" % (n, n * n) for n in range(500))
    packer = zstandard.ZstdCompressor(write_checksum=True)
    packed = bytearray(
        gzip.compress(many_rows) if compression == "gzip" else packer.compress(many_rows)
    )
    packed[len(packed) // 2] ^= 0xFF
    with pytest.raises(UnreadableFile, match=f"line 1: its {compression} data are damaged"):
        read(tmp_path, bytes(packed))


NO_CSV = {
    "a workbook": b"PK\x03\x04\x14\x00\x06\x00xl/workbook.xml",
    "an old Excel workbook": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    "a PDF document": b"%PDF-1.7\n",
    "a Parquet file": b"PAR1\x15\x04",
}


@pytest.mark.parametrize(("what", "content"), NO_CSV.items())
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_file_of_another_program_is_named_for_what_it_is(
    tmp_path: Path, what: str, content: bytes, pack: Callable[[bytes], bytes]
) -> None:
    with pytest.raises(UnreadableFile) as caught:
        read(tmp_path, pack(content + bytes(100)))
    assert caught.value.problem.startswith(what)
    assert caught.value.problem.endswith(", not a CSV file")
    assert "save it as CSV UTF-8" in caught.value.cure


def test_a_file_larger_than_the_memory_for_it_waits_on_disk_and_is_read_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lookup_pipeline.names.content._IN_MEMORY", 100)
    content = b"name,company\n" + b"".join(b"P%d,Acme\n" % n for n in range(1_000))
    usable, _ = read(tmp_path, gzip.compress(content))
    assert [row["requested_name"] for row in usable] == [f"P{n}" for n in range(1_000)]


def test_a_file_that_is_replaced_while_it_is_read_is_no_mixture(tmp_path: Path) -> None:
    file = names_file(tmp_path, TEXT)
    with open_content(file) as content:
        names_file(tmp_path, b"something else")
        assert content.bytes.read() == TEXT
        content.bytes.seek(0)
        assert content.bytes.read() == TEXT
