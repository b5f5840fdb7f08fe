"""The text of a file → its rows: where each begins, what it says, what a stray mark costs."""

import csv
import io
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookup_pipeline.names import csv_rows
from lookup_pipeline.names.csv_rows import CsvRow, read_rows
from lookup_pipeline.names.errors import UnreadableFile


def rows_of(text: str, delimiter: str = ",") -> list[CsvRow]:
    return list(read_rows(io.StringIO(text, newline=""), "a.csv", delimiter))


def shown(text: str) -> list[tuple[int, list[str]]]:
    return [(row.line, row.fields) for row in rows_of(text)]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_a_row_stands_on_the_physical_line_on_which_it_begins(ending: str) -> None:
    lines = ["a,b", "", '"1', "", '2",3', "", "c"]
    assert shown(ending.join(lines)) == [
        (1, ["a", "b"]),
        (3, [f"1{ending}{ending}2", "3"]),
        (7, ["c"]),
    ]


def test_the_line_of_the_first_row_is_given() -> None:
    text = io.StringIO("a\nb\n", newline="")
    assert [row.line for row in read_rows(text, "a.csv", ",", line=5)] == [5, 6]


def test_a_rows_raw_text_is_what_stands_in_the_file() -> None:
    (row,) = rows_of(' "a" ,"b ""c""\r\nd",  \r\n')
    assert row.raw == ' "a" ,"b ""c""\r\nd",  '


@pytest.mark.parametrize(
    ("text", "kept", "stray"),
    [
        ('a\n"b,c\nd\ne\n', ["a", "d", "e"], {2: '"b,c'}),
        ('a\n"b\nc\n"d\ne\n', ["a", "e"], None),
        ('a\n"b"c,d\ne\n', ["a", "e"], {2: '"b"c,d'}),
        ('a\n"b "x" c"\r\ne\r\n', ["a", "e"], {2: '"b "x" c"'}),
        ('"a', [], {1: '"a'}),
        ('a\n"b\n"c"\nd', ["a", "c", "d"], {2: '"b'}),
    ],
)
def test_a_stray_quotation_mark_costs_its_physical_line_only(
    text: str, kept: list[str], stray: dict[int, str] | None
) -> None:
    rows = rows_of(text)
    if stray is None:
        # `"b\nc\n"d`: a mark that ends too late for its row, whichever way one reads it.
        assert not all(row.quotes_match for row in rows)
        assert [row.raw for row in rows][-1] == "e"
        return
    assert [row.fields[0] for row in rows if row.quotes_match] == kept
    assert {row.line: row.raw for row in rows if not row.quotes_match} == stray
    assert all(not row.fields for row in rows if not row.quotes_match)


@pytest.mark.parametrize("text", ['5" pipe,b\n', "a 'b,c\n", 'a"b"c,d\n'])
def test_quotation_marks_inside_a_field_that_begins_with_none_are_text(text: str) -> None:
    (row,) = rows_of(text)
    assert row.quotes_match
    assert row.fields == text.strip().split(",")


def test_an_unclosed_mark_far_above_costs_its_line_also_beyond_what_is_fetched_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(csv_rows, "_FETCH", 50)
    text = "a,b\n" + '"unclosed,b\n' + "".join(f"{n},x\n" for n in range(1_000))
    rows = rows_of(text)
    assert [row.line for row in rows if not row.quotes_match] == [2]
    assert [row.fields[0] for row in rows[2:]] == [str(n) for n in range(1_000)]


# Read from any of its lines on, a row that goes on to the end of the file and fails there: what a
# search for the end of each would take grows with the square of the lines.
ALL_STRAY = 'z",z,"z\n'


def test_many_stray_quotation_marks_do_not_hang() -> None:
    text = "a,b\n" + ALL_STRAY * 3_000 + "c,d\n"
    began = time.monotonic()
    rows = rows_of(text)
    assert time.monotonic() - began < 10
    assert [row.line for row in rows if not row.quotes_match] == list(range(2, 3_002))
    assert rows[-1].fields == ["c", "d"]


def test_where_most_quotation_marks_are_stray_the_file_is_an_error_and_no_night_of_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(csv_rows, "_MOST_READ_AGAIN", 100_000)
    with pytest.raises(UnreadableFile) as caught:
        rows_of("a,b\n" + ALL_STRAY * 1_000)
    assert caught.value.problem == "quotation marks that do not match"
    assert 2 < caught.value.line < 1_000
    assert "double every quotation mark" in caught.value.cure


def test_a_field_of_five_megabytes_is_a_field() -> None:
    long = "x" * 5_000_000
    rows = rows_of(f'a,"{long}"\nb,{long}\nc,"{"y" * 99}\n')
    assert [len(row.fields[1]) for row in rows[:2]] == [5_000_000] * 2
    assert [row.quotes_match for row in rows] == [True, True, False]


def test_the_process_limit_of_a_field_is_raised_and_never_lowered() -> None:
    before = csv.field_size_limit(2**31 + 5)
    try:
        rows_of("a\n")
        assert csv.field_size_limit() == 2**31 + 5
    finally:
        csv.field_size_limit(before)


def test_a_nul_and_bytes_that_are_no_text_are_shown_and_told() -> None:
    good, nul, bad = rows_of("a,b\nc\0,d\n\udce9,\udcff\n")
    assert (good.whole, nul.whole, bad.whole) == (True, False, False)
    assert nul.raw == "c\0,d"
    assert bad.raw == "\\xe9,\\xff"
    assert bad.fields == ["\\xe9", "\\xff"]


texts = st.text(st.sampled_from('ab,;""\n\r \0é'), max_size=80)


@settings(deadline=None, max_examples=400)
@given(texts, st.sampled_from([",", ";"]))
def test_rows_and_blank_lines_are_the_whole_text(text: str, delimiter: str) -> None:
    lines = io.StringIO(text, newline="").readlines()
    covered: set[int] = set()
    for row in rows_of(text, delimiter):
        length = len(io.StringIO(row.raw, newline="").readlines())
        mine = range(row.line, row.line + length)
        assert covered.isdisjoint(mine)
        covered.update(mine)
        stood = "".join(lines[line - 1] for line in mine)
        assert stood.removesuffix("\n").removesuffix("\r") == row.raw
    left = [line for number, line in enumerate(lines, 1) if number not in covered]
    assert not "".join(left).strip("\r\n")


@settings(deadline=None, max_examples=200)
@given(texts, st.integers(1, 20))
def test_it_does_not_matter_how_much_is_fetched_at_once(text: str, fetch: int) -> None:
    expected = rows_of(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_rows, "_FETCH", fetch)
        assert rows_of(text) == expected


written = st.lists(
    st.lists(st.text(st.sampled_from('ab,"\n\ré '), max_size=6), min_size=2, max_size=4), max_size=8
)


@settings(deadline=None, max_examples=200)
@given(written, st.sampled_from(["\n", "\r\n", "\r"]))
def test_what_was_written_by_the_rules_is_read_back(rows: list[list[str]], ending: str) -> None:
    out = io.StringIO()
    csv.writer(out, lineterminator=ending, quoting=csv.QUOTE_ALL).writerows(rows)
    assert [row.fields for row in rows_of(out.getvalue())] == rows
