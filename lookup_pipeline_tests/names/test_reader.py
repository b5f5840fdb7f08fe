"""CSV files → usable and rejected rows."""

import csv
import io
import tempfile
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from upath import UPath

from lookup_pipeline.names.errors import UnreadableFile
from lookup_pipeline.names.files import NamesFile
from lookup_pipeline.names.reader import read_names
from lookup_pipeline_tests.names.helpers import Records, names_file, read, report

HEADER = "name,current_employer,email,note\n"


def test_a_usable_row_has_exactly_the_promised_columns(tmp_path: Path) -> None:
    usable, rejected = read(tmp_path, HEADER + " Emmy Noether ,Bryn Mawr College,, see file \n")
    assert rejected == []
    assert usable == [
        {
            "source_file": "2026-01-05.csv",
            "source_row": 2,
            "requested_name": "Emmy Noether",
            "requested_employer": "Bryn Mawr College",
            "requested_title": None,
            "requested_linkedin_url": None,
            "requested_email": None,
            "requested_npi_number": None,
            "requested_id": None,
            "identity": "v3:name:emmy noether\tbryn mawr college",
            "query": '{"name":"Emmy Noether","current_employer":"Bryn Mawr College"}',
            "source_columns": {"note": " see file "},
        }
    ]


def test_a_rejected_row_has_its_place_its_text_and_every_reason(tmp_path: Path) -> None:
    row = '"Ada  Lovelace",,"foo",'
    usable, rejected = read(tmp_path, f"{HEADER}{row}\r\n")
    assert usable == []
    assert rejected == [
        {
            "source_file": "2026-01-05.csv",
            "source_row": 2,
            "reasons": ["email 'foo' is not an e-mail address", "a name without an employer"],
            "raw_row": row,
        }
    ]


def test_an_invalid_identifier_does_no_harm_where_another_serves(tmp_path: Path) -> None:
    usable, _ = read(tmp_path, HEADER + "Ada,Acme,foo,\n")
    assert usable[0]["requested_email"] == "foo"


def test_blank_values_are_none_and_never_nan(tmp_path: Path) -> None:
    (batch,) = read_names([names_file(tmp_path, HEADER + "Ada,Acme,  ,\n")])
    assert batch.usable["requested_email"].dtype == object
    assert batch.usable["source_row"].dtype == "int64"
    assert batch.usable["requested_email"][0] is None


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_rows_are_counted_in_physical_lines(tmp_path: Path, ending: str) -> None:
    lines = ["", "name,company,note", "", 'Ada,Acme,"two', 'lines"', "", "Bob,Acme,", ",,"]
    usable, rejected = read(tmp_path, ending.join(lines))
    assert [row["source_row"] for row in usable] == [4, 7]
    assert usable[0]["source_columns"] == {"note": f"two{ending}lines"}
    assert [(row["source_row"], row["raw_row"]) for row in rejected] == [(8, ",,")]


def test_the_raw_text_of_a_row_over_several_lines_is_whole(tmp_path: Path) -> None:
    _, rejected = read(tmp_path, 'name,note\nAda,"a\r\n\r\n""b"""\r\n')
    assert rejected[0]["raw_row"] == 'Ada,"a\r\n\r\n""b"""'


def test_a_byte_order_mark_is_no_part_of_the_header(tmp_path: Path) -> None:
    usable, _ = read(tmp_path, b"\xef\xbb\xbfname,company\nKurt G\xc3\xb6del,IAS\n")
    assert usable[0]["requested_name"] == "Kurt Gödel"


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("header", ["name,company\n", '"name","company"\n'])
def test_joined_files_with_byte_order_marks_are_read_as_if_they_had_none(
    tmp_path: Path, codec: str, header: str
) -> None:
    parts = [header + "Ada,Acme\n", header + '"Hopper, Grace",Navy\n', '"Bob",IBM\n']
    usable, rejected = read(tmp_path, b"".join(part.encode(codec) for part in parts))
    asked = [(row["source_row"], row["requested_name"]) for row in usable]
    assert asked == [(2, "Ada"), (4, "Hopper, Grace"), (5, "Bob")]
    assert [row["raw_row"] for row in rejected] == [header.strip()]


@pytest.mark.parametrize("above", ["", "sep=;\n"])
def test_a_byte_order_mark_that_stands_there_twice_is_no_part_of_the_file(
    tmp_path: Path, above: str
) -> None:
    content = f'\ufeff\ufeff{above}"name";"company"\nAda;Acme\n'
    usable, _ = read(tmp_path, content)
    assert usable[0]["requested_name"] == "Ada"


@pytest.mark.parametrize(
    ("header", "field"),
    [
        ("EMAIL", "email"),
        ("E-Mail", "email"),
        (" linkedin URL ", "linkedin_url"),
        ("LinkedIn_Url", "linkedin_url"),
        ("npi-number", "npi_number"),
        ("ID", "id"),
        ("Profile Id", "id"),
        ("Employer", "employer"),
        ("company", "employer"),
        ("Company-Name", "employer"),
        ("CURRENT EMPLOYER", "employer"),
        ("Title", "title"),
        ("Name", "name"),
    ],
)
def test_headers_are_known_in_any_case_and_separation(
    tmp_path: Path, header: str, field: str
) -> None:
    other = "profile_id" if field == "email" else "email"
    value = "7" if other == "profile_id" else "a@example.com"
    usable, _ = read(tmp_path, f"further,{header},{other}\nx,y,{value}\n")
    assert usable[0][f"requested_{field}"] == "y"
    assert usable[0]["source_columns"] == {"further": "x"}


def test_of_several_columns_for_the_same_thing_the_first_filled_one_serves(
    tmp_path: Path,
) -> None:
    content = "name,employer,company,employer\nAda,Acme,Other,\nBob, ,Other,\n"
    usable, _ = read(tmp_path, content)
    assert [row["requested_employer"] for row in usable] == ["Acme", "Other"]
    assert usable[0]["source_columns"] == {"company": "Other", "employer_2": ""}


def test_first_and_last_name_make_the_name_where_there_is_none(tmp_path: Path) -> None:
    content = "first_name,Last Name,name,company\nAda,Lovelace,,Acme\nA.,L.,Ada King,Acme\n"
    usable, _ = read(tmp_path, content)
    assert [row["requested_name"] for row in usable] == ["Ada Lovelace", "Ada King"]
    assert [row["source_columns"] for row in usable] == [
        {},
        {"first_name": "A.", "Last Name": "L."},
    ]


def test_half_a_name_is_no_name_but_is_not_lost(tmp_path: Path) -> None:
    content = "first_name,last_name,company,email\nAda,,Acme,\nAda,,Acme,ada@example.com\n"
    usable, rejected = read(tmp_path, content)
    assert rejected[0]["reasons"] == ["an employer without a name"]
    assert usable[0]["requested_name"] is None
    assert usable[0]["source_columns"] == {"first_name": "Ada", "last_name": ""}


@pytest.mark.parametrize(
    ("first", "last"), [("nan", "nan"), ("N/A", "N/A"), ("N/A", "Smith"), ("#N/A", "Smith")]
)
def test_parts_of_a_name_that_say_nothing_make_none(tmp_path: Path, first: str, last: str) -> None:
    _, rejected = read(tmp_path, f"first name,last name,company\n{first},{last},Acme\n")
    assert rejected[0]["reasons"] == ["an employer without a name"]


def test_a_middle_name_and_a_suffix_tell_people_apart(tmp_path: Path) -> None:
    content = (
        "First Name,Middle Name,Last Name,Suffix,Company\n"
        "John,Alan,Smith,Sr.,Acme\nJohn,,Smith,Jr.,Acme\nJohn,-,Smith,PhD,Acme\n"
        "Mary Ann,Ann,Smith,,Acme\n"
    )
    usable, _ = read(tmp_path, content)
    assert [row["requested_name"] for row in usable] == [
        "John Alan Smith Sr.",
        "John Smith Jr.",
        "John Smith",
        "Mary Ann Smith",
    ]
    assert usable[0]["source_columns"] == {}
    assert usable[2]["source_columns"] == {"Middle Name": "-", "Suffix": "PhD"}


def test_a_first_name_beside_a_name_is_put_before_it_where_it_lacks(tmp_path: Path) -> None:
    content = (
        "Name,Vorname,Company\nSmith,John,Acme\nSmith,Jane,Acme\nAda King,Ada,Acme\n"
        '"King, Ada",Ada,Acme\nVan Dyke,,Acme\n,Eve,Acme\nN/A,Eve,Acme\n'
        "William Gates,Bill,Acme\nde Groot,Jan,Acme\nHopper,Grace Hopper,Acme\n"
    )
    usable, rejected = read(tmp_path, content)
    assert [row["requested_name"] for row in usable] == [
        "John Smith",
        "Jane Smith",
        "Ada King",
        "King, Ada",
        "Van Dyke",
        "William Gates",
        "Jan de Groot",
        "Grace Hopper",
    ]
    assert [row["source_row"] for row in rejected] == [7, 8]
    assert usable[0]["source_columns"] == {"Vorname": "John"}


def test_a_second_column_of_the_same_header_names_nobody(tmp_path: Path) -> None:
    # The second is the owner's as likely as not.
    content = "Name,Company,Email,Email\nAda,Acme,,boss@example.com\n"
    usable, _ = read(tmp_path, content)
    assert usable[0]["requested_email"] is None
    assert usable[0]["source_columns"] == {"Email_2": "boss@example.com"}
    (told,) = report(tmp_path, content).warnings()
    assert "the column 'Email_2' seems to hold what email is for" in told
    # Another spelling is another column.
    (row,) = read(tmp_path, content.replace("Email,Email", "Email,E-Mail"))[0]
    assert row["requested_email"] == "boss@example.com"


@pytest.mark.parametrize("header", ["Name*,Company *,E-Mail:", "Name (required),Company,Email *:"])
def test_what_forms_put_behind_a_header_is_no_part_of_it(tmp_path: Path, header: str) -> None:
    usable, _ = read(tmp_path, f"{header}\nAda,Acme,a@example.com\n")
    assert usable[0]["requested_name"] == "Ada"
    assert usable[0]["requested_email"] == "a@example.com"


def test_further_columns_keep_their_headers_and_never_share_one(tmp_path: Path) -> None:
    usable, _ = read(tmp_path, "email,Note,Note,Note_2,,note, \na@example.com,1,2,3,4,5,6\n")
    assert usable[0]["source_columns"] == {
        "Note": "1",
        "Note_3": "2",
        "Note_2": "3",
        "column_5": "4",
        "note": "5",
        "column_7": "6",
    }


def test_missing_fields_at_the_end_are_blank(tmp_path: Path) -> None:
    usable, _ = read(tmp_path, HEADER + "Ada,Acme\n")
    assert usable[0]["requested_email"] is None
    assert usable[0]["source_columns"] == {"note": ""}


def test_too_many_fields_reject_a_row_beside_its_other_reasons(tmp_path: Path) -> None:
    _, rejected = read(tmp_path, HEADER + "Ada,Acme,,,x\nAda,,foo,,,x\n")
    too_many = "the row has more fields than the header row, by {}"
    assert [row["reasons"] for row in rejected] == [
        [too_many.format(1)],
        [
            too_many.format(2),
            "email 'foo' is not an e-mail address",
            "a name without an employer",
        ],
    ]
    assert [row["raw_row"] for row in rejected] == ["Ada,Acme,,,x", "Ada,,foo,,,x"]


def test_blank_fields_beyond_the_header_row_say_nothing(tmp_path: Path) -> None:
    usable, rejected = read(tmp_path, HEADER + "Ada,Acme,,n,,, ,\nBob,Acme,,n,,\n")
    assert rejected == []
    assert [row["source_columns"] for row in usable] == [{"note": "n"}] * 2


def test_a_stray_quotation_mark_rejects_its_row_and_no_other(tmp_path: Path) -> None:
    content = HEADER + 'Ada,Acme,,\n"Bob "the" Builder",Acme,,\nEve,Acme,,\n'
    usable, rejected = read(tmp_path, content)
    assert [row["requested_name"] for row in usable] == ["Ada", "Eve"]
    assert rejected[0]["source_row"] == 3
    assert rejected[0]["raw_row"] == '"Bob "the" Builder",Acme,,'
    assert "quotation marks" in rejected[0]["reasons"][0]


def test_a_long_field_is_read(tmp_path: Path) -> None:
    usable, _ = read(tmp_path, HEADER + f"Ada,Acme,,{'x' * 500_000}\n")
    assert len(usable[0]["source_columns"]["note"]) == 500_000


@pytest.mark.parametrize(
    ("content", "line", "problem"),
    [
        (b"", 1, "no header row"),
        (b"\n\r\n\n", 1, "no header row"),
        (b"\xef\xbb\xbf", 1, "no header row"),
        (b"colour,size\nred,1\n", 1, "no column of the header row is known"),
        (b"\n,,\n", 2, "no column of the header row is known"),
        (b'na"me\n', 1, "no column of the header row is known"),
        (b'"name"x,company\n', 1, "quotation marks do not match"),
        ("name,company\n湯川,京大\n".encode("shift_jis"), 2, "not UTF-8"),
        (b"\0", 1, "not UTF-8"),
        (b"PK\x03\x04rest of a workbook", 1, "a workbook"),
    ],
)
def test_a_file_that_is_no_csv_is_an_error_that_names_file_line_and_cure(
    tmp_path: Path, content: bytes, line: int, problem: str
) -> None:
    with pytest.raises(UnreadableFile) as caught:
        read(tmp_path, content)
    error = caught.value
    assert (error.file, error.line) == ("2026-01-05.csv", line)
    assert problem in error.problem
    for part in (error.file, f"line {line}", error.problem, error.cure):
        assert part in str(error)


@pytest.mark.parametrize(
    ("content", "rejected_lines", "kept"),
    [
        (b"name,company\nAda,Acme\n\0Eve,Acme\nBob,Acme\n", [3], ["Ada", "Bob"]),
        (b"name,company\nAda,\0\n", [2], []),
        (b'name,company\n\n"Ada,Acme\nBob,Acme\n', [3], ["Bob"]),
        (b'name,company\n"Ada,Acme', [2], []),
        (b'name,company\n"Ada,Acme\n"Bob",Acme\n', [2], ["Bob"]),
        (b'name,company\n"Ada,Acme\nBob,Acme\n"Eve,Acme\nJoe,Acme', [2, 4], ["Bob", "Joe"]),
    ],
)
def test_what_is_wrong_with_a_row_costs_that_row_and_never_the_file(
    tmp_path: Path, content: bytes, rejected_lines: list[int], kept: list[str]
) -> None:
    usable, rejected = read(tmp_path, content)
    assert [row["requested_name"] for row in usable] == kept
    assert [row["source_row"] for row in rejected] == rejected_lines
    lines = content.decode().splitlines()
    assert [row["raw_row"] for row in rejected] == [lines[line - 1] for line in rejected_lines]


def test_a_row_of_600_000_lines_is_a_row(tmp_path: Path) -> None:
    content = 'name,company,note\nAda,Acme,"' + "x\n" * 600_000 + '"\nBob,Acme,\n'
    usable, rejected = read(tmp_path, content)
    assert rejected == []
    assert [row["source_row"] for row in usable] == [2, 600_003]
    assert len(usable[0]["source_columns"]["note"]) == 1_200_000


def test_a_line_that_no_export_writes_is_a_file_that_is_no_csv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 64 MB, in earnest; both, because a line is measured by what is read at once.
    monkeypatch.setattr("lookup_pipeline.names.encoding._LONGEST_LINE", 1_000)
    monkeypatch.setattr("lookup_pipeline.names.encoding._CHUNK", 100)
    with pytest.raises(UnreadableFile, match="line 2: a line of ") as caught:
        read(tmp_path, b"name,company\n" + b"x" * 1_200)
    assert "on a line of its own" in caught.value.cure


def test_values_that_say_nothing_are_not_asked_about_and_stay_in_what_was_requested(
    tmp_path: Path,
) -> None:
    usable, rejected = read(tmp_path, HEADER + "Ada,Acme,N/A,\nN/A,-,bob@example.com,\n-,n/a,,\n")
    assert [(row["requested_name"], row["requested_email"]) for row in usable] == [
        ("Ada", "N/A"),
        ("N/A", "bob@example.com"),
    ]
    assert [row["identity"] for row in usable] == ["v3:name:ada\tacme", "v3:email:bob@example.com"]
    assert rejected[0]["reasons"] == [
        "no id, linkedin_url, email, npi_number, nor a name with an employer"
    ]


def test_what_stood_in_the_file_is_kept_beside_what_is_sent(tmp_path: Path) -> None:
    usable, _ = read(tmp_path, 'name,company\n"Dr. LOVELACE, ADA, PhD","ACME,  Inc."\n')
    assert usable[0]["requested_name"] == "Dr. LOVELACE, ADA, PhD"
    assert usable[0]["requested_employer"] == "ACME,  Inc."
    assert usable[0]["query"] == '{"name":"Ada Lovelace","current_employer":"ACME, Inc."}'


def test_a_header_row_alone_is_a_file_without_rows(tmp_path: Path) -> None:
    assert list(read_names([names_file(tmp_path, HEADER)])) == []


def test_a_missing_file_is_not_taken_for_an_unreadable_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(read_names([NamesFile(UPath(str(tmp_path / "no.csv")), "no.csv")]))


def test_batches_are_bounded_and_keep_the_order(tmp_path: Path) -> None:
    content = HEADER + "".join(f"Person {n},Acme,,\n" for n in range(25))
    batches = list(read_names([names_file(tmp_path, content)], batch_rows=10))
    assert [len(batch.usable) for batch in batches] == [10, 10, 5]
    assert pd.concat([batch.usable for batch in batches])["source_row"].tolist() == [*range(2, 27)]


@pytest.mark.parametrize(
    "ids",
    [
        ["1", "2", "3", "4"],
        ["0", "1", "2"],
        ["1", "2", "4", "Total"],
        ["3", "2", "1"],
        ["1041", "1042.0", "", "1044", "1043"],
        ["1"],
    ],
)
def test_ids_that_count_rows_are_told(tmp_path: Path, ids: list[str]) -> None:
    content = "id,email\n" + "".join(f"{id_},a{id_}@example.com\n" for id_ in ids)
    (told,) = report(tmp_path, content).warnings()
    assert "the id column seems to count" in told


def test_two_neighbours_among_the_providers_ids_count_nothing(tmp_path: Path) -> None:
    assert report(tmp_path, "id\n700101\n700102\n").warnings() == []


@pytest.mark.parametrize("ids", [["5244", "193054", "66120418"], ["5244"], [""], ["C-1", "C-2"]])
def test_the_providers_ids_are_no_numbers_of_rows(tmp_path: Path, ids: list[str]) -> None:
    content = "id,email\n" + "".join(f"{id_},a{id_}@example.com\n" for id_ in ids)
    assert report(tmp_path, content).warnings() == []


def test_an_identifier_of_several_people_is_told(tmp_path: Path) -> None:
    content = (
        "name,company,email\nAda King,Acme,info@example.com\n"
        "Bob Stone,Acme,info@example.com\nBill Gates,Acme,bg@example.com\n"
        '"Gates, William",Acme,BG@example.com\n,,info@example.com\n'
    )
    (told,) = report(tmp_path, content).warnings()
    assert "rows share an identifier with a row of another name" in told
    assert told.endswith("see line 3")


def test_a_column_of_identifiers_that_is_not_read_is_told(tmp_path: Path) -> None:
    people = "".join(f"P{n},Acme,linkedin.com/in/p{n},p{n}@example.com,\n" for n in range(3))
    content = f"name,company,profile,Mailadresse,note\n{people}"
    linkedin, email = report(tmp_path, content).warnings()
    assert "the column 'profile' seems to hold what linkedin_url is for" in linkedin
    assert "the column 'Mailadresse' seems to hold what email is for" in email
    # The owner's address is one, beside the person's.
    content = content.replace("Mailadresse", "email").replace("profile", "linkedin")
    assert report(tmp_path, content.replace(",note", ",owner email")).warnings() == []


def test_a_sheet_that_ends_in_blank_rows_is_read_with_all_of_them(tmp_path: Path) -> None:
    usable, rejected = read(tmp_path, "name,company\nAda,Acme\n" + ",\n" * 1_000)
    assert len(usable) == 1
    assert len(rejected) == 1_000
    assert {tuple(row["reasons"]) for row in rejected} == {
        ("no id, linkedin_url, email, npi_number, nor a name with an employer",)
    }


def test_batches_of_no_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="batch_rows"):
        list(read_names([names_file(tmp_path, HEADER)], batch_rows=0))


# A byte order mark is no text where a line begins.
cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"), max_size=8)
written_rows = st.lists(
    st.lists(cells | st.sampled_from(["Ada", "a@example.com", "7"]), min_size=1, max_size=6)
)


@settings(deadline=None, max_examples=60)
@given(written_rows, st.sampled_from(["\n", "\r\n", "\r"]), st.integers(1, 4))
def test_every_row_that_was_written_is_usable_or_rejected_at_its_line(
    rows: list[list[str]], ending: str, batch_rows: int
) -> None:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator=ending, quoting=csv.QUOTE_ALL)
    writer.writerow(["name", "company", "email", "id"])
    starts, texts = [], []
    for row in rows:
        before = out.getvalue()
        starts.append(_physical_lines(before) + 1)
        writer.writerow(row)
        texts.append(out.getvalue()[len(before) :].removesuffix(ending))
    usable, rejected = _read_text(out.getvalue(), batch_rows)
    assert sorted(row["source_row"] for row in usable + rejected) == starts
    by_start = dict(zip(starts, texts, strict=True))
    assert all(row["raw_row"] == by_start[row["source_row"]] for row in rejected)
    assert all(row["reasons"] for row in rejected)


PEOPLE = [
    ["Ada Lovelace", "Acme, Inc.", "", ""],
    ["LOVELACE, ADA", "acme", "", ""],
    ["", "", "Bob@example.com", ""],
    ["Bob", "", "bob@example.COM", "x"],
    ["Dr. Eve Doe", "Other", "foo", "5244.0"],
    ["Jo", "", "foo", "x"],
]
COLUMNS = ["name", "company", "email", "id"]


@settings(deadline=None, max_examples=40)
@given(st.permutations(PEOPLE), st.permutations(range(4)))
def test_the_order_of_rows_and_columns_makes_no_other_people(
    rows: list[list[str]], order: list[int]
) -> None:
    out = io.StringIO()
    csv.writer(out).writerows([[row[column] for column in order] for row in [COLUMNS, *rows]])
    usable, rejected = _read_text(out.getvalue(), 20_000)
    assert sorted(row["identity"] for row in usable) == [
        "v3:email:bob@example.com",
        "v3:email:bob@example.com",
        "v3:id:5244",
        "v3:name:ada lovelace\tacme",
        "v3:name:ada lovelace\tacme",
    ]
    assert rejected[0]["reasons"] == [
        "email 'foo' is not an e-mail address",
        "id 'x' is not a positive whole number",
        "a name without an employer",
    ]


@settings(deadline=None, max_examples=60)
@given(st.text(st.sampled_from('ab@7,,""\n\r \0é'), max_size=60), st.integers(1, 4))
def test_any_text_is_an_error_or_rows_none_of_whose_text_is_lost(
    text: str, batch_rows: int
) -> None:
    try:
        usable, rejected = _read_text("name,company,email,id\n" + text, batch_rows)
    except UnreadableFile:
        return
    rows = usable + rejected
    assert len({row["source_row"] for row in rows}) == len(rows)
    raw = "".join(row["raw_row"] for row in rejected)
    if not usable:
        assert _without_line_ends(raw) == _without_line_ends(text)


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=80))
def test_any_bytes_are_rows_or_an_unreadable_file_and_nothing_else(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder, suppress(UnreadableFile):
        read(Path(folder), content)


def _read_text(text: str, batch_rows: int) -> tuple[Records, Records]:
    with tempfile.TemporaryDirectory() as folder:
        return read(Path(folder), text, batch_rows)


def _physical_lines(text: str) -> int:
    return len(io.StringIO(text, newline="").readlines())


def _without_line_ends(text: str) -> str:
    return text.replace("\r", "").replace("\n", "")


def test_rows_between_two_stray_quotation_marks_are_warned_of(tmp_path: Path) -> None:
    content = 'email,note\na@x.org,"5 ft\nb@x.org,ok\nc@x.org,6"\nd@x.org,"two\nlines, only"\n'
    (warning,) = report(tmp_path, content).warnings()
    assert "the row on line 2 runs over lines that look like rows" in warning
