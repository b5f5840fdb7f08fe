"""What a file is written in: what is sure, what is a guess, what cannot be told."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookup_pipeline.names.content import open_content
from lookup_pipeline.names.encoding import detect_encoding
from lookup_pipeline.names.errors import UnreadableFile
from lookup_pipeline.names.text_file import TextFile
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
    # Mac Roman's "é" is Windows-1252's "Ž", which no name ends with; but one accent is not many.
    content = "name,company\nJosé,Acme\n".encode("mac_roman")
    told = report(tmp_path, content)
    (warning,) = told.warnings()
    assert told.encoding.confidence < 0.9
    assert warning.startswith("2026-01-05.csv: read as Mac Roman, which is a guess (confidence ")
    assert "Windows-1252 would do as well" in warning
    assert "José" not in warning


PEOPLE = {
    "German": "Jürgen Müller,Bäckerei Groß\nBjörn Schröder,Ärztekammer Köln\n",
    "French": "François Lefèvre,Société Générale\nHélène Côté,Crédit Agricole\n",
    "Spanish": "José García,Compañía Española\nBegoña Muñoz,Construcción Peñón\n",
    "Portuguese": "João Simões,Construções Leões\nInês Guimarães,Associação Ação\n",
    "Danish": "Søren Nørgaard,Københavns Bæk\nØyvind Sæther,Håkon Ærø\n",
    "Finnish": "Päivi Mäkinen,Töölö\nVäinö Seppälä,Hämeenlinna\n",
    "Icelandic": "Dagný Þórsdóttir,Íslandsbanki\nGuðrún Jónsson,Háskóli\nÞorsteinn Ævar,Arion\n",
    "Estonian": "Tõnu Kõiv,Põhjala\nJüri Jõgi,Pärnu\n",
    "English": "Siobhán O\u2019Brien,Nestlé®\nRenée D\u2019Arcy,Lloyd\u2019s \u2013 Acme™\n",
    "Polish": "Łukasz Dąbrowski,Żabka\nPaweł Wiśniewski,Spółka\nMichał Kamiński,Książka\n",
    "Czech": "Jiří Dvořák,Žižkov\nTomáš Růžička,Pojišťovna\n",
    "Hungarian": "Győző Erdős,Magyar Tőzsde\nJenő Bánffy,Pécs\nLászló Kovács,Győr\n",
    "Turkish": "Ayşe Şahin,Türkiye\nİbrahim Erdoğan,Eğitim\n",
}


WESTERN = ["German", "French", "Spanish", "Portuguese", "Danish", "Finnish", "Estonian", "English"]


def people(language: str, codec: str, times: int) -> bytes:
    """The language's people so many times, with ASCII between them."""
    return ("name,company\n" + (PEOPLE[language] + "Ada Lovelace,Acme\n") * times).encode(codec)


@pytest.mark.parametrize("times", [1, 5, 100])
@pytest.mark.parametrize(
    ("language", "codec"),
    [
        ("Icelandic", "cp1252"),
        *((language, codec) for language in WESTERN for codec in ("cp1252", "mac_roman")),
    ],
)
def test_every_letter_of_western_names_is_read(
    tmp_path: Path, language: str, codec: str, times: int
) -> None:
    usable, rejected = read(tmp_path, people(language, codec, times))
    names = [line.split(",")[0] for line in PEOPLE[language].splitlines()]
    assert [row["requested_name"] for row in usable] == [*names, "Ada Lovelace"] * times
    assert rejected == []


@pytest.mark.parametrize("times", [1, 100])
@pytest.mark.parametrize(
    ("language", "codec"),
    [
        *((each, "cp850") for each in ("German", "French", "Spanish", "Portuguese", "Danish")),
        *((each, "cp437") for each in ("German", "French", "Spanish", "Finnish")),
        *((each, codec) for each in ("Polish", "Czech") for codec in ("iso8859_2", "cp1250")),
        *(("Hungarian", codec) for codec in ("iso8859_2", "cp1250")),
        *(("Turkish", codec) for codec in ("iso8859_9", "cp1254")),
    ],
)
def test_names_in_another_latin_encoding_are_an_error_or_a_warning(
    tmp_path: Path, language: str, codec: str, times: int
) -> None:
    try:
        confidence = report(tmp_path, people(language, codec, times)).encoding.confidence
    except UnreadableFile:
        return
    assert confidence < 0.7


@pytest.mark.parametrize(
    ("language", "codec"), [("French", "cp850"), ("Spanish", "cp437"), ("Polish", "cp1250")]
)
def test_where_most_names_would_be_wrong_the_file_is_an_error(
    tmp_path: Path, language: str, codec: str
) -> None:
    with pytest.raises(UnreadableFile, match="perhaps"):
        read(tmp_path, people(language, codec, 100))


def test_one_odd_name_does_not_make_a_file_unreadable(tmp_path: Path) -> None:
    usable, _ = read(tmp_path, b"name,company\nAda,a\xa4b\n")
    assert usable[0]["requested_employer"] == "a¤b"


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


@pytest.mark.parametrize("codec", ["cp1252", "mac_roman"])
def test_rows_in_utf_8_cost_those_rows_where_files_were_joined(tmp_path: Path, codec: str) -> None:
    added = ["Jürgen Müller,Acme", "Paweł,Acme", "O\u2019Brien,Acme", "湯川 秀樹,京都大学"]
    content = people("French", codec, 2_000) + "\r\n".join(added).encode()
    usable, rejected = read(tmp_path, content)
    assert len(usable) == 6_000
    assert [row["source_row"] for row in rejected] == [6_002, 6_003, 6_004, 6_005]
    assert rejected[1]["raw_row"] == "Pawe\\xc5\\x82,Acme"
    assert any("4, which were rejected" in each for each in report(tmp_path, content).warnings())


def test_a_capital_and_a_sign_that_are_utf_8_by_accident_are_read(tmp_path: Path) -> None:
    content = "name,company\nZoë,Café\nAda,NESTLÉ®\n".encode("cp1252")
    usable, rejected = read(tmp_path, content)
    assert (usable[1]["requested_employer"], rejected) == ("NESTLÉ®", [])


def test_a_line_longer_than_what_is_decoded_at_once_is_read_whole(tmp_path: Path) -> None:
    text = f"name,company\nZoë,{'é ' * 2_000_000}\nJosé,Café\n"
    with open_content(names_file(tmp_path, text.encode("cp1252"))) as opened:
        whole = TextFile(opened, detect_encoding(opened)).start(len(text) + 1)
    assert whole == text


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
