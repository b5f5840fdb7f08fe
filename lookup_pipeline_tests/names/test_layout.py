"""How a file is laid out: delimiters, Excel's ``sep=`` line, titles above the header row."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookup_pipeline.names.errors import UnreadableFile
from lookup_pipeline.names.layout import DELIMITERS
from lookup_pipeline_tests.names.helpers import read, report


@pytest.mark.parametrize(("delimiter", "name"), DELIMITERS.items())
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_every_delimiter_is_found_with_every_line_ending(
    tmp_path: Path, delimiter: str, name: str, ending: str
) -> None:
    others = "".join(each for each in DELIMITERS if each != delimiter)
    rows = [
        ["name", "company", "note"],
        ["Ada", "Acme", f"a{others}b"],
        ["Bob", "Acme", f'"a{delimiter}b{ending}c"'],
    ]
    content = ending.join(delimiter.join(row) for row in rows)
    usable, rejected = read(tmp_path, content)
    assert rejected == []
    assert [row["requested_name"] for row in usable] == ["Ada", "Bob"]
    assert usable[0]["source_columns"] == {"note": f"a{others}b"}
    assert usable[1]["source_columns"] == {"note": f"a{delimiter}b{ending}c"}
    facts = report(tmp_path, content).facts()
    assert (facts["delimiter"], facts["delimiter_confidence"]) == (name, 1.0)


def test_decimal_commas_and_commas_in_names_do_not_make_the_delimiter(tmp_path: Path) -> None:
    content = "name;company;revenue\nLovelace, Ada;Acme, Inc.;1,5\nHopper, Grace;Navy;2,5\n"
    usable, _ = read(tmp_path, content)
    assert [row["requested_name"] for row in usable] == ["Lovelace, Ada", "Hopper, Grace"]
    assert usable[0]["requested_employer"] == "Acme, Inc."


@pytest.mark.parametrize("column", ["email", "linkedin_url", "id"])
def test_a_file_of_one_column_needs_no_delimiter(tmp_path: Path, column: str) -> None:
    values = {"email": "a@example.com", "linkedin_url": "linkedin.com/in/a", "id": "7"}
    usable, _ = read(tmp_path, f"{column}\n{values[column]}\n")
    assert usable[0][f"requested_{column}"] == values[column]
    assert report(tmp_path, f"{column}\n{values[column]}\n").warnings() == []


@pytest.mark.parametrize(
    "first_line", ["sep=^", '"sep=^"', "SEP=^", "sep=^^^", "sep=^\r", "\ufeffsep=^"]
)
def test_excels_sep_line_decides_about_the_delimiter(tmp_path: Path, first_line: str) -> None:
    # No detection would take "^".
    usable, _ = read(tmp_path, f"{first_line}\nname^company^note\nAda^Acme, Inc.^x;y|z\n")
    assert [row["requested_employer"] for row in usable] == ["Acme, Inc."]
    assert [row["source_row"] for row in usable] == [3]


def test_excels_unicode_text_is_read(tmp_path: Path) -> None:
    content = "sep=\t\r\nname\tcompany\r\nKurt Gödel\tIAS\r\n"
    usable, _ = read(tmp_path, content.encode("utf-16"))
    assert [row["requested_name"] for row in usable] == ["Kurt Gödel"]


@pytest.mark.parametrize(
    "above",
    [
        ["Attendees"],
        ["Attendees", "As of 2026-01-05", ""],
        ["Attendees,,,", "As of, 2026-01-05,,"],
        ["", "Attendees,,,", "", '"Two', 'lines, and a comma",,,'],
        ["Person,Company,,"],
        ["Name,My list"],
    ],
)
def test_title_lines_above_the_header_row_are_passed_over(tmp_path: Path, above: list[str]) -> None:
    lines = [*above, "name,company,email,note", "Ada,Acme,,", "Bob,,foo,"]
    content = "\n".join(lines)
    usable, rejected = read(tmp_path, content)
    assert [(row["source_row"], row["requested_name"]) for row in usable] == [
        (len(above) + 2, "Ada")
    ]
    assert [row["source_row"] for row in rejected] == [len(above) + 3]
    facts = report(tmp_path, content).facts()
    assert facts["header_line"] == len(above) + 1
    assert facts["title_lines"] > 0


def test_linkedins_notes_above_the_connections_are_titles(tmp_path: Path) -> None:
    content = (
        "Notes:\r\n"
        '"When exporting your connection data, you may notice that some of the email addresses are '
        'missing. You will only see email addresses for connections who have allowed it."\r\n'
        "\r\n"
        "First Name,Last Name,URL,Email Address,Company,Position,Connected On\r\n"
        "Ada,Lovelace,https://www.linkedin.com/in/ada-sample,,Acme,Analyst,12 Mar 2024\r\n"
    )
    (row,) = read(tmp_path, content)[0]
    assert (row["source_row"], row["requested_name"]) == (5, "Ada Lovelace")
    assert row["requested_linkedin_url"] == "https://www.linkedin.com/in/ada-sample"
    assert report(tmp_path, content).layout.title_lines == [1, 2]


@pytest.mark.parametrize(
    "content",
    [
        "Ada,Acme,a@example.com\nname,company,email\nBob,Acme,\n",
        "Ada Doe,Acme,,\nname,company,email,note\nBob,Acme,,\n",
        "a@example.com,,\nemail,note,more\nb@example.com,,\n",
        "linkedin.com/in/a-sample,,\nlinkedin_url,note,more\nlinkedin.com/in/b-sample,,\n",
    ],
)
def test_people_above_what_reads_like_a_header_row_are_not_taken_for_titles(
    tmp_path: Path, content: str
) -> None:
    # Somebody joined two files: what stands above must not vanish without a word.
    with pytest.raises(UnreadableFile, match=r"line 1: it stands above .*, on line 2\. .* move"):
        read(tmp_path, content)


def test_the_header_row_further_down_once_more_is_nobody(tmp_path: Path) -> None:
    content = "name,company,email\nAda,Acme,\nname,company,email\nBob,Acme,\n"
    usable, rejected = read(tmp_path, content)
    assert [row["source_row"] for row in usable] == [2, 4]
    assert "the row is the header row again" in rejected[0]["reasons"]


@pytest.mark.parametrize("again", ["NAME,Company,E-Mail", "name , company,", "Name,,Email:"])
def test_a_header_row_in_another_spelling_is_nobody(tmp_path: Path, again: str) -> None:
    content = f"name,company,email\nAda,Acme,\n{again}\nBob,Acme,\n"
    usable, rejected = read(tmp_path, content)
    assert [row["source_row"] for row in usable] == [2, 4]
    assert "the row is the header row again" in rejected[0]["reasons"]


def test_a_header_row_of_other_columns_is_nobody_and_is_warned_of(tmp_path: Path) -> None:
    content = "name,company\nAda,Acme\nCompany,Name\nIBM,Bob\n"
    usable, rejected = read(tmp_path, content)
    assert [row["source_row"] for row in rejected] == [3]
    assert len(usable) == 2
    (told,) = report(tmp_path, content).warnings()
    assert "there is a header row of other columns on line 3" in told


@pytest.mark.parametrize(
    "content",
    [
        "First Name,Last Name,Firm,Source\nAda,Lovelace,Acme,LinkedIn\nBob,Byron,Beta,Event\n",
        "Name,Phone,Contact by,Note\nAda,1,Email,a\nBob,2,Post,b\n",
    ],
)
def test_a_value_that_reads_like_a_column_makes_no_title_of_the_header_row(
    tmp_path: Path, content: str
) -> None:
    usable, rejected = read(tmp_path, content)
    assert usable == []
    assert [row["source_row"] for row in rejected] == [2, 3]


def test_doubled_quotation_marks_inside_of_fields_stand_behind_no_delimiter(tmp_path: Path) -> None:
    content = 'name,company,notes\nAda,Acme,"said ""hi"", ""ho"", ""hu"""\nBob, "Big" Bob Inc,n\n'
    usable, rejected = read(tmp_path, content)
    assert rejected == []
    assert usable[1]["requested_employer"] == '"Big" Bob Inc'


@pytest.mark.parametrize("header", ["Name, Company, Note", '"Name", "Company", "Note"'])
def test_blanks_between_delimiters_and_quotation_marks_are_nothing(
    tmp_path: Path, header: str
) -> None:
    usable, rejected = read(tmp_path, f'{header}\n"Ada", "Acme, Inc.", "a ""b"""\n')
    assert rejected == []
    assert usable[0]["requested_employer"] == "Acme, Inc."
    assert list(usable[0]["source_columns"].values()) == ['a "b"']


def test_a_file_without_a_header_row_is_an_error_that_says_what_one_needs(tmp_path: Path) -> None:
    content = "Ada Lovelace,Acme,ada@example.com\nBob,Acme,bob@example.com\n"
    with pytest.raises(UnreadableFile) as caught:
        read(tmp_path, content)
    assert caught.value.line == 1
    assert caught.value.problem == "no column of the header row is known"
    assert "begin the file with a header row that has name and current_employer" in (
        caught.value.cure
    )
    assert "Lovelace" not in str(caught.value)


def test_known_columns_that_do_not_suffice_give_every_row_its_reason(tmp_path: Path) -> None:
    _, rejected = read(tmp_path, "name,title\nAda,CEO\nBob,\n")
    assert [row["reasons"] for row in rejected] == [["a name without an employer"]] * 2


def test_trailing_delimiters_and_blank_lines_are_nothing(tmp_path: Path) -> None:
    content = "\n\nname,company,,\n\nAda,Acme,,\n,,,\n\nBob,Acme,,,,\n\n"
    usable, rejected = read(tmp_path, content)
    assert [(row["source_row"], row["source_columns"]) for row in usable] == [(5, {}), (8, {})]
    assert [row["source_row"] for row in rejected] == [6]


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(list(DELIMITERS)),
    st.lists(
        st.tuples(
            st.sampled_from(["Ada Lovelace", "José García", '"Lovelace, Ada"', "Bob"]),
            st.sampled_from(["Acme", '"Acme, Inc."', "A & B", '"x; y"']),
            st.sampled_from(["", "12 Mar 2024", "a@example.com", '"one\ntwo"', "1.5"]),
        ),
        min_size=1,
        max_size=8,
    ),
)
def test_what_is_quoted_where_it_must_be_is_read_under_any_delimiter(
    tmp_path_factory: pytest.TempPathFactory, delimiter: str, rows: list[tuple[str, str, str]]
) -> None:
    content = "\n".join(map(delimiter.join, [("name", "company", "note"), *rows]))
    usable, rejected = read(tmp_path_factory.mktemp("names"), content)
    assert rejected == []
    assert [row["requested_name"] for row in usable] == [row[0].strip('"') for row in rows]
    assert [row["requested_employer"] for row in usable] == [row[1].strip('"') for row in rows]
