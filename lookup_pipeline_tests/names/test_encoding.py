"""What a file is written in: what is sure, what is a guess, what cannot be told."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookup_pipeline.names.content import open_content
from lookup_pipeline.names.encoding import detect_encoding
from lookup_pipeline.names.errors import UnreadableFile
from lookup_pipeline_tests.names.helpers import names_file, read, report

NAMES = ["José García", "Zoë Müller", "Björn Åkesson", "Dagný Þórsdóttir"]
TEXT = (
    "name,company\nJosé García,Compañía Ñandú\nZoë Müller,Société Générale\n"
    "Björn Åkesson,Café “Ängel”\n"
)
BOTH_ORDERS = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}


@pytest.mark.parametrize(
    ("content", "label"),
    [
        (TEXT.encode(), "UTF-8"),
        (TEXT.encode("utf-8-sig"), "UTF-8 with a byte order mark"),
        *((mark + TEXT.encode(codec), "UTF-16") for codec, mark in BOTH_ORDERS.items()),
        (TEXT.encode("utf-16-le"), "UTF-16 LE"),
        (TEXT.encode("utf-16-be"), "UTF-16 BE"),
        (TEXT.encode("utf-32"), "UTF-32"),
        (TEXT.encode("cp1252"), "Windows-1252"),
        (TEXT.encode("mac_roman"), "Mac Roman"),
    ],
)
def test_encodings_are_told_apart_and_every_letter_is_read(
    tmp_path: Path, content: bytes, label: str
) -> None:
    usable, rejected = read(tmp_path, content)
    assert rejected == []
    assert [row["requested_name"] for row in usable] == NAMES[:3]
    assert usable[2]["requested_employer"] == "Café “Ängel”"
    told = report(tmp_path, content)
    assert told.facts()["encoding"] == label
    assert told.facts()["encoding_confidence"] >= 0.9
    assert told.warnings() == []


@pytest.mark.parametrize("codec", BOTH_ORDERS)
def test_utf_16_without_a_mark_is_known_in_any_script(tmp_path: Path, codec: str) -> None:
    # Hardly any NULs tell it: the commas and line ends are most of what is not Japanese.
    content = ("name,company\n" + "湯川 秀樹,京都大学\n" * 20).encode(codec)
    usable, rejected = read(tmp_path, content)
    assert rejected == []
    assert {row["requested_name"] for row in usable} == {"湯川 秀樹"}


def test_text_in_ascii_is_utf_8_without_doubt(tmp_path: Path) -> None:
    facts = report(tmp_path, b"name,company\nAda,Acme\n").facts()
    assert (facts["encoding"], facts["encoding_confidence"]) == ("UTF-8", 1.0)


def test_utf_8_is_known_by_the_whole_file_and_not_by_its_beginning(tmp_path: Path) -> None:
    # Longer than any sample, the only letter beyond ASCII at the very end.
    rows = "Ada,Acme\n" * 20_000
    usable, _ = read(tmp_path, f"name,company\n{rows}José,Acme\n".encode("cp1252"))
    assert usable[-1]["requested_name"] == "José"
    usable, _ = read(tmp_path, f"name,company\n{rows}José,Acme\n")
    assert usable[-1]["requested_name"] == "José"


def test_a_doubtful_guess_is_a_warning_with_its_confidence_and_its_rival(tmp_path: Path) -> None:
    # One accent: Mac Roman's "é" is Windows-1252's "Ž", and both are letters.
    content = "name,company\nJosé,Acme\n".encode("mac_roman")
    told = report(tmp_path, content)
    (warning,) = told.warnings()
    assert told.encoding.confidence < 0.9
    assert warning.startswith("2026-01-05.csv: read as Windows-1252, which is a guess (confidence ")
    assert "Mac Roman would do as well" in warning
    assert "José" not in warning


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        ("湯川秀樹,京都大学\n山田太郎,東京大学\n", "shift_jis"),
        ("Юлия Жданова,Яндекс\nДмитрий Щукин,Лукойл\n", "cp1251"),  # noqa: RUF001 - not a "p"
        ("Αλέξης Παπάς,Εθνική\n", "iso8859-7"),
    ],
)
def test_an_encoding_beyond_these_is_an_error_that_names_it_its_line_and_the_cure(
    tmp_path: Path, text: str, codec: str
) -> None:
    with pytest.raises(UnreadableFile) as caught:
        read(tmp_path, b"name,company\nAda,Acme\n" + text.encode(codec))
    assert caught.value.line == 3
    assert "not UTF-8 text, nor in another encoding that is known here" in caught.value.problem
    assert "CSV UTF-8" in caught.value.cure


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_row_in_another_encoding_costs_that_row_and_its_bytes_are_shown(
    tmp_path: Path, mark: bytes
) -> None:
    content = mark + b"name,company\n" + "Zoë,Acme\n".encode() * 5
    content += b"Jos\xe9,\xff\nBob,Acme\n"
    usable, rejected = read(tmp_path, content)
    assert [row["requested_name"] for row in usable] == [*["Zoë"] * 5, "Bob"]
    assert rejected[0]["source_row"] == 7
    assert rejected[0]["raw_row"] == "Jos\\xe9,\\xff"
    assert any("the row is damaged" in reason for reason in rejected[0]["reasons"])


def test_one_stray_byte_does_not_decide_about_a_windows_1252_file(tmp_path: Path) -> None:
    # Windows-1252 has no \x81.
    content = ("name,company\n" + "José García,Acme\n" * 20).encode("cp1252") + b"A\x81da,Acme\n"
    usable, rejected = read(tmp_path, content)
    assert len(usable) == 20
    assert [row["raw_row"] for row in rejected] == ["A\\x81da,Acme"]
    (warning,) = report(tmp_path, content).warnings()
    assert "bytes that are not Windows-1252" in warning


def test_half_a_character_at_the_end_of_utf_16_costs_the_last_row_only(tmp_path: Path) -> None:
    usable, rejected = read(tmp_path, TEXT.encode("utf-16") + b"x")
    assert [row["requested_name"] for row in usable] == NAMES[:3]
    assert [(row["source_row"], row["raw_row"]) for row in rejected] == [(5, "\\x78")]


lines = st.lists(st.sampled_from([*NAMES, "Ada Lovelace", "湯川 秀樹"]), min_size=1, max_size=20)


@settings(deadline=None, max_examples=50)
@given(lines, st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]))
def test_an_encoding_that_leaves_no_doubt_is_read_letter_by_letter(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], codec: str
) -> None:
    folder = tmp_path_factory.mktemp("names")
    content = "".join(["name,company\n", *(f"{name},Acme\n" for name in names)]).encode(codec)
    with open_content(names_file(folder, content)) as opened:
        assert detect_encoding(opened).confidence == 1.0
    usable, _ = read(folder, content)
    assert [row["requested_name"] for row in usable] == names


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_utf_16_that_the_library_makes_nothing_of_is_read_by_the_place_of_its_nuls(
    tmp_path: Path, codec: str
) -> None:
    content = "\r\n© “Fair” 2026\r\n© “Fair” 2026\r\nname,company,note\r\n".encode(codec)
    found = report(tmp_path, content).encoding
    assert (found.codec, found.confidence < 0.9) == (codec.replace("-", "_"), True)
