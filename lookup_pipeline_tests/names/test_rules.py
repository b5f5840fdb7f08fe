"""The rules for a row: each can be broken, all that are broken are told."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookup_pipeline.names.identity import Requested, build_query
from lookup_pipeline.names.rules import (
    EMPLOYER_ALONE,
    NAME_ALONE,
    NAMES_SOMEBODY,
    ROW_RULES,
    VALUE_RULES,
    Rule,
    complain,
)
from lookup_pipeline.names.validation import SCHEMA, check_rows, clean_rows
from lookup_pipeline_tests.names.helpers import read, reasons_of

LONG = "x" * 201

SALES_NAVIGATOR = (
    "is a Sales Navigator address, which names nobody outside of it: use the public profile's"
)

LOST_LETTERS = "has letters that were lost before the file was written (U+FFFD)"

# A value that breaks each rule, and no other.
BREAKS: list[tuple[tuple[str, str], str]] = [
    (("id", "is not a positive whole number"), "C-1001"),
    (
        ("linkedin_url", SALES_NAVIGATOR),
        "https://www.linkedin.com/sales/lead/ACwAAA,NAME_SEARCH,xyz",
    ),
    (
        (
            "linkedin_url",
            "is not the address of a LinkedIn profile (linkedin.com/in/… or linkedin.com/pub/…)",
        ),
        "https://www.linkedin.com/company/acme",
    ),
    (("email", "is not an e-mail address"), "ada at example.com"),
    (("npi_number", "is not a 10-digit number"), "12345"),
    (("name", "is an e-mail address, not a name"), "ada@example.com"),
    (("name", "is a web address, not a name"), "https://example.com/ada"),
    (("name", "has no letters"), "+1 555 0100"),
    (("name", "is longer than 200 characters"), LONG),
    (("name", LOST_LETTERS), "M\ufffdller Hans"),
    (("employer", "is longer than 200 characters"), LONG),
    (("employer", LOST_LETTERS), "Caf\ufffd Inc."),
]


def rule_of(field: str, complaint: str) -> Rule:
    (rule,) = [rule for rule in VALUE_RULES if (rule.field, rule.complaint) == (field, complaint)]
    return rule


def test_every_rule_for_a_value_has_a_value_that_breaks_it() -> None:
    broken = {named for named, _value in BREAKS}
    assert broken == {(rule.field, rule.complaint) for rule in VALUE_RULES}


@pytest.mark.parametrize(("named", "value"), BREAKS)
def test_a_value_that_breaks_one_rule_is_told_so_and_nothing_else(
    named: tuple[str, str], value: str
) -> None:
    field, _ = named
    rule = rule_of(*named)
    assert not rule.holds(value)
    reasons = reasons_of(**{field: value})
    assert complain(rule, value) in reasons
    assert [reason for reason in reasons if reason.startswith(f"{field} '")] == [
        complain(rule, value)
    ]
    assert rule.complaint in complain(rule, value)


@pytest.mark.parametrize(("named", "value"), BREAKS)
def test_a_value_that_breaks_a_rule_does_no_harm_where_another_serves(
    named: tuple[str, str], value: str
) -> None:
    field, _ = named
    serves = {"id": "42"} if field != "id" else {"email": "ada@example.com"}
    row = Requested(**{field: value}, **serves)
    checked = check_rows(clean_rows([[said] for said in row]))
    assert checked.reasons == {}
    assert checked.passed_over == {0: [complain(rule_of(*named), value)]}


def test_every_rule_for_a_row_is_broken_in_a_file_and_told_with_its_count(tmp_path: Path) -> None:
    content = b'name,company\n"Ada "x",Acme\nB\0b,Acme\nEve,Acme,1,2,3\nname,company\n'
    _, rejected = read(tmp_path, content)
    assert [row["reasons"] for row in rejected] == [
        [by_field("stray_quotes").format(1)],
        [by_field("damage").format(1)],
        [by_field("surplus_fields").format(3)],
        [by_field("header_again").format(1)],
    ]
    assert {rule.field for rule in ROW_RULES} == {
        "stray_quotes",
        "damage",
        "surplus_fields",
        "header_again",
    }


def by_field(field: str) -> str:
    (complaint,) = [rule.complaint for rule in ROW_RULES if rule.field == field]
    return complaint


def test_all_that_is_wrong_with_a_row_is_told(tmp_path: Path) -> None:
    content = (
        "name,company,linkedin_url,email,npi_number,id\n"
        f"ada@example.com,{LONG},https://www.linkedin.com/sales/lead/1,foo,12,C-1,surplus\n"
        "+1 555 0100 www.x.example,,,,,\n"
    )
    _, rejected = read(tmp_path, content)
    fields = [reason.split(" '")[0] for reason in rejected[0]["reasons"]]
    assert fields == [
        "the row has more fields than the header row, by 1",
        "name",
        "employer",
        "linkedin_url",
        "email",
        "npi_number",
        "id",
    ]
    assert rejected[1]["reasons"] == [
        "name '+1 555 0100 www.x.example' is a web address, not a name",
        NAME_ALONE,
    ]


@pytest.mark.parametrize(
    ("requested", "reason"),
    [
        ({}, NAMES_SOMEBODY.complaint),
        ({"title": "CEO"}, NAMES_SOMEBODY.complaint),
        ({"name": "N/A", "employer": "-", "email": "null"}, NAMES_SOMEBODY.complaint),
        ({"name": "Ada"}, NAME_ALONE),
        ({"name": "Ada", "employer": "N/A"}, NAME_ALONE),
        ({"employer": "Acme"}, EMPLOYER_ALONE),
        ({"name": "-", "employer": "Acme"}, EMPLOYER_ALONE),
    ],
)
def test_a_row_that_names_nobody_is_told_what_it_lacks(
    requested: Mapping[str, str], reason: str
) -> None:
    assert reasons_of(**requested) == [reason]


def test_a_long_value_is_quoted_by_its_beginning() -> None:
    rule = rule_of("email", "is not an e-mail address")
    assert complain(rule, "x" * 80) == f"email '{'x' * 80}' is not an e-mail address"
    assert complain(rule, "x" * 81) == f"email '{'x' * 80}…' is not an e-mail address"


VALUES = [
    None,
    "",
    "N/A",
    "Ada Lovelace",
    "Acme",
    "42",
    "9000000015",
    "ada@example.com",
    "https://www.linkedin.com/in/ada",
    "\x00",
    *(value for _named, value in BREAKS),
]
values = st.sampled_from(VALUES) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
rows = st.builds(Requested, *[values] * len(Requested._fields))
counts = st.sampled_from([0, 0, 0, 0, 1, 3])


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(rows, counts, counts, counts, counts), min_size=1, max_size=5))
def test_the_schema_rejects_what_no_query_can_be_built_from_and_gives_each_a_reason(
    given_rows: list[tuple[Requested, int, int, int, int]],
) -> None:
    requested = [row for row, *_ in given_rows]
    cleaned = clean_rows(zip(*requested, strict=True))
    reasons = check_rows(cleaned, [tuple(broken) for _row, *broken in given_rows]).reasons
    assert all(reasons.values())
    # The reader takes rows for usable by their queries, and asks the schema for the others only.
    for place, (row, *broken) in enumerate(given_rows):
        assert (place not in reasons) == (build_query(*row) is not None and not any(broken))


def test_the_schema_says_each_rule_in_words() -> None:
    described = {
        (name, check.description)
        for name, column in SCHEMA.columns.items()
        for check in column.checks or []
    }
    assert described == {
        *((rule.field, rule.rule) for rule in VALUE_RULES),
        *((rule.field, rule.rule) for rule in ROW_RULES),
    }
    assert [check.description for check in SCHEMA.checks] == [NAMES_SOMEBODY.rule]


def test_rows_are_told_by_their_place() -> None:
    rows = [Requested(id="1"), Requested(email="x"), Requested()]
    assert set(check_rows(rows).reasons) == {1, 2}
