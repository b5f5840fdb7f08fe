"""Which values say nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookup_pipeline.names.values import is_placeholder, said


@pytest.mark.parametrize(
    "text",
    [
        "N/A",
        "n/a",
        " N/A ",
        "NA",
        "n.a.",
        "#N/A",
        "#REF!",
        "#NV",
        "#BEZUG!",
        "#DIV/0!",
        "#NOM?",
        "#N/D",
        "[null]",
        "\\N",
        "N / A",
        '="N/A"',
        "&nbsp;",
        "null",
        "NULL",
        "(null)",
        "<NA>",
        "NaN",
        "None",
        "nil",
        "-",
        "--",
        "—",
        "?",
        "...",
        "TBD",
        "unknown",
        "Not available",
        "(blank)",
        "",
        " ",
        "\u00a0",
        "\u200b",
        "\x07",
    ],
)
def test_what_stands_for_no_value_is_none(text: str) -> None:
    assert said(text) is None


def test_no_value_is_none() -> None:
    assert said(None) is None


@pytest.mark.parametrize(
    "text",
    [
        "Unknown Worlds",
        "Self-employed",
        "Nan Goldin",
        "0",
        "Null Corp",
        "X",
        "湯",
        "C++",
        "#1 Cochran",
        "#teamlunch",
        "AT&T",
        "R&D; Legal",
        "=Acme",
        "None LLC",
    ],
)
def test_whole_values_only_are_taken_for_none(text: str) -> None:
    assert said(text) == text


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        (" Ada\u00a0 L ", "Ada L"),
        ("Go\u0308del", "Gödel"),
        ("A\x00B", "AB"),
        ("a\r\nb", "a b"),
        ('="00123"', "00123"),
        ("AT&amp;T", "AT&T"),
        ("O&#39;Brien &amp;amp; Co", "O'Brien & Co"),
        ("Grace &#55357;&#56832; Hopper", "Grace Hopper"),
    ],
)
def test_what_is_said_is_clean_text(text: str, cleaned: str) -> None:
    assert said(text) == cleaned


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_said_says_something_and_is_said_the_same_again(text: str) -> None:
    value = said(text)
    if value is not None:
        assert not is_placeholder(value)
        assert said(value) == value
    else:
        assert not any(map(str.isalnum, text)) or len(text) < 100
