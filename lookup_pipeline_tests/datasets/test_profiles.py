"""One profile to one row: every column's kind by example, and nothing lost by property."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lookup_pipeline.datasets.columns import PROFILE_FIELDS, PROFILES
from lookup_pipeline.datasets.profiles import profile_payload, profile_row

_INTEGER = re.compile("-?[0-9]+")
COLUMNS: dict[str, Any] = {column.name: column.type for column in PROFILE_FIELDS}


def row_of(profile: dict[str, Any]) -> dict[str, Any]:
    """The row, without the columns that are null."""
    row = profile_row(json.dumps(profile).encode())
    return {name: value for name, value in row.items() if value is not None}


def extra_of(profile: dict[str, Any]) -> Any:
    extra = profile_row(json.dumps(profile).encode())["extra"]
    return None if extra is None else json.loads(extra)


# Known examples ------------------------------------------------------------------------------


def test_the_row_has_every_profile_column_and_extra() -> None:
    assert list(profile_row(b"{}")) == [*COLUMNS, "extra"]
    assert set(profile_row(b"{}").values()) == {None}


@pytest.mark.parametrize(
    ("field", "sent", "held"),
    [
        ("name", "Zoë Müller", "Zoë Müller"),
        ("name", "", ""),
        ("city", 12, "12"),
        ("city", 1.5, "1.5"),
        ("birth_year", 1980, 1980),
        ("birth_year", "1980", 1980),
        ("birth_year", " 1980 ", 1980),
        ("birth_year", 1980.0, 1980),
        ("connections", 0, 0),
        ("current_employer_id", 2**63 - 1, 2**63 - 1),
        ("region_latitude", 47.5, 47.5),
        ("region_latitude", -122, -122.0),
        ("region_latitude", "47.5", 47.5),
        ("linkedin_url_active", False, False),
        ("return_cached_emails", True, True),
        ("skills", ["Python", "SQL"], ["Python", "SQL"]),
        ("skills", [], []),
    ],
)
def test_a_value_of_a_columns_kind_is_held_there_and_nowhere_else(
    field: str, sent: Any, held: Any
) -> None:
    found = row_of({field: sent})
    assert found == {field: held}
    assert type(found[field]) is type(held)


@pytest.mark.parametrize(
    ("field", "sent"),
    [
        ("name", True),
        ("name", {"first": "Ann"}),
        ("name", ["Ann"]),
        ("birth_year", "about 1980"),
        ("birth_year", 1980.5),
        ("birth_year", True),
        ("birth_year", "-1980"),
        ("birth_year", ""),
        ("connections", "500+"),
        ("connections", 2**63),
        ("connections", -(2**63) - 1),
        ("connections", 1e300),
        ("connections", "9" * 19),
        ("connections", "9" * 400),
        ("region_latitude", "north"),
        ("region_latitude", False),
        ("linkedin_url_active", "yes"),
        ("linkedin_url_active", 1),
        ("links", ["https://example.com"]),
        ("links", "https://example.com"),
        ("emails", {"email": "ann@example.com"}),
        ("emails", "ann@example.com"),
        ("skills", "Python"),
        ("job_history", 3),
    ],
)
def test_a_value_that_its_column_can_not_hold_goes_to_extra(field: str, sent: Any) -> None:
    assert row_of({field: sent}).keys() == {"extra"}
    assert extra_of({field: sent}) == {field: sent}


@pytest.mark.parametrize("sent", [10**400, -(10**400)], ids=["positive", "negative"])
def test_a_number_beyond_a_float_goes_to_extra(sent: int) -> None:
    assert extra_of({"region_latitude": sent}) == {"region_latitude": sent}


@pytest.mark.parametrize("sent", ["nan", "inf", "-Infinity", "1e999", "1_0"])
def test_a_text_that_is_no_number_to_others_goes_to_extra(sent: str) -> None:
    assert row_of({"region_latitude": sent}).keys() == {"extra"}
    assert extra_of({"region_latitude": sent}) == {"region_latitude": sent}


def test_a_field_that_no_column_knows_goes_to_extra() -> None:
    sent = {"name": "Ann", "teams": [{"a": 1}], "score": 0.5, "nothing": None}
    assert row_of(sent) == {"name": "Ann", "extra": '{"score":0.5,"teams":[{"a":1}]}'}


def test_nulls_are_neither_held_nor_extra() -> None:
    assert row_of(dict.fromkeys([*COLUMNS, "unknown"])) == {}


def test_the_providers_id_stands_in_profile_id_and_not_in_extra() -> None:
    assert row_of({"id": 42}) == {}


def test_links_become_a_list_ordered_by_site() -> None:
    links = {"twitter": "https://x.example/ann", "aboutme": "https://a.example", "none": None}
    assert row_of({"links": links}) == {
        "links": [
            {"site": "aboutme", "url": "https://a.example"},
            {"site": "twitter", "url": "https://x.example/ann"},
        ]
    }


def test_a_link_that_is_no_text_goes_to_extra_under_its_path() -> None:
    sent = {"links": {"a": "https://a.example", "b": {"url": "https://b.example"}}}
    assert row_of(sent)["links"] == [{"site": "a", "url": "https://a.example"}]
    assert extra_of(sent) == {"links.b": {"url": "https://b.example"}}


def test_an_e_mail_address_keeps_its_validation_and_its_unknown_fields() -> None:
    sent = {
        "emails": [
            {"email": "ann@example.com", "smtp_valid": "valid", "grade": "A"},
            {"email": "a@example.org", "confidence": 0.9, "smtp_valid": False},
        ]
    }
    empty = dict.fromkeys(["email", "smtp_valid", "type", "grade", "last_validation_check"])
    assert row_of(sent)["emails"] == [
        empty | {"email": "ann@example.com", "smtp_valid": "valid", "grade": "A"},
        empty | {"email": "a@example.org"},
    ]
    assert extra_of(sent) == {"emails.1.confidence": 0.9, "emails.1.smtp_valid": False}


def test_an_entry_of_a_list_that_is_no_object_goes_to_extra_under_its_place() -> None:
    sent = {"phones": [{"number": "+1 555 0100", "premium": False}, "+1 555 0101", None]}
    phones = row_of(sent)["phones"]
    assert [phone and (phone["number"], phone["premium"]) for phone in phones] == [
        ("+1 555 0100", False),
        None,
        None,
    ]
    assert extra_of(sent) == {"phones.1": "+1 555 0101"}


def test_years_of_education_may_be_texts() -> None:
    (school,) = row_of({"education": [{"school": "ETH", "start": "1999", "end": 2003}]})[
        "education"
    ]
    assert (school["school"], school["start"], school["end"]) == ("ETH", 1999, 2003)


@pytest.mark.parametrize(
    ("field", "sent"),
    [
        ("npi_data", {"npi_number": 1234567893, "credentials": "MD"}),
        ("npi_data", {"npi_number": "1234567893", "credentials": "MD"}),
        ("npi_data", [{"npi_number": "1234567893", "credentials": "MD"}]),
    ],
)
def test_an_object_of_its_own_becomes_a_list_of_one(field: str, sent: Any) -> None:
    (held,) = row_of({field: sent})[field]
    assert (held["npi_number"], held["credentials"]) == ("1234567893", "MD")
    assert extra_of({field: sent}) is None


def test_a_profile_list_becomes_a_list_of_one() -> None:
    assert row_of({"profile_list": {"id": 3, "name": "Leads"}}) == {
        "profile_list": [{"id": 3, "name": "Leads"}]
    }


def test_an_object_of_its_own_that_is_none_goes_to_extra() -> None:
    assert extra_of({"npi_data": "1234567893"}) == {"npi_data.0": "1234567893"}


@pytest.mark.parametrize(
    ("sent", "held"),
    [
        ({"row": 3, "file": "a.csv"}, '{"file":"a.csv","row":3}'),
        ("text", '"text"'),
        ([1, None], "[1,null]"),
    ],
)
def test_metadata_is_kept_as_json_text(sent: Any, held: str) -> None:
    assert row_of({"metadata": sent}) == {"metadata": held}


def test_the_same_profile_is_the_same_row_whatever_order_it_came_in() -> None:
    sent = {"zeta": 1, "alpha": 2, "metadata": {"b": 1, "a": 2}, "links": {"z": "1", "a": "2"}}
    backwards = json.dumps({name: sent[name] for name in reversed(sent)}).encode()
    assert profile_row(json.dumps(sent).encode()) == profile_row(backwards)


@pytest.mark.parametrize(
    "sent",
    [
        {"emails": [{"confidence": 1}], "emails.0.confidence": 2},
        {"links": {"a": 1}, "links.a": 2},
        {"skills": [True], "skills.0": "other"},
    ],
)
def test_a_field_whose_name_looks_like_a_path_displaces_nothing(sent: dict[str, Any]) -> None:
    numbers_and_texts = [leaf for leaf in leaves(sent) if leaf is not None]
    kept = Counter(map(as_text, found_leaves(profile_row(json.dumps(sent).encode()))))
    assert not Counter(map(as_text, numbers_and_texts)) - kept


# Nothing is lost -----------------------------------------------------------------------------


def leaves(value: Any) -> Iterator[Any]:
    """Every value that is not null, not a list and not an object."""
    if isinstance(value, dict):
        for item in value.values():
            yield from leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item)
    elif value is not None:
        yield value


def found_leaves(row: dict[str, Any]) -> Iterator[Any]:
    """Every value of a row, JSON texts unpacked."""
    for name, value in row.items():
        if name in ("extra", "metadata"):
            yield from leaves(None if value is None else msgspec.json.decode(value))
        elif name == "links":
            for link in value or ():
                yield link["url"]
        else:
            yield from leaves(value)


def as_text(value: Any) -> str:
    """One text for one value, whether it is kept as a number or as the text of one."""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, str):
        # A column of numbers holds the number that a text stands for, and the reverse.
        try:
            value = int(value) if _INTEGER.fullmatch(value.strip()) else float(value)
        except (ValueError, OverflowError):
            return f"text {value}"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"number {value!r}"


_TEXTS = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=8),
    st.sampled_from(["1980", "47.5", " 7 ", "007", "Present", "true", "null", "500+"]),
)
_NUMBERS = st.one_of(
    st.integers(-(2**53), 2**53),
    st.sampled_from([2**63 - 1, 2**63, -(2**63) - 1]),
    st.floats(allow_nan=False, allow_infinity=False),
)
_LEAVES = st.one_of(st.none(), st.booleans(), _NUMBERS, _TEXTS)
_ANYTHING = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
# Names without a dot: `a_field_whose_name_looks_like_a_path` is about the others.
_UNKNOWN = st.sampled_from(["teams", "score", "extra", "lookup_id", "source_row", "Ünïcode", ""])


def _like(type_: Any) -> st.SearchStrategy[Any]:
    """Values as a column of this type expects them, with wrong ones and unknown fields between."""
    kind: Any = type_
    if pa.types.is_list(type_):
        expected: st.SearchStrategy[Any] = st.lists(_like(kind.value_type), max_size=3)
    elif pa.types.is_struct(type_):
        fields = {field.name: _like(field.type) for field in kind}
        known = st.fixed_dictionaries({}, optional=fields)
        unknown = st.dictionaries(_UNKNOWN, _ANYTHING, max_size=2)
        expected = st.builds(lambda one, other: other | one, known, unknown)
    elif pa.types.is_integer(type_):
        expected = st.integers(-(2**63), 2**63 - 1) | st.integers(0, 2100).map(str)
    elif pa.types.is_floating(type_):
        expected = st.floats(allow_nan=False, allow_infinity=False)
    elif pa.types.is_boolean(type_):
        expected = st.booleans()
    else:
        expected = _TEXTS
    return st.one_of(expected, expected, _ANYTHING)


_FIELDS = {
    **{name: _like(type_) for name, type_ in COLUMNS.items()},
    "links": st.dictionaries(_TEXTS, st.one_of(_TEXTS, _ANYTHING), max_size=3) | _ANYTHING,
    "npi_data": st.one_of(_like(COLUMNS["npi_data"].value_type), _ANYTHING),
    "profile_list": st.one_of(_like(COLUMNS["profile_list"].value_type), _ANYTHING),
    "metadata": _ANYTHING,
}
# A few fields at a time: what is wrong shows in one or two of them.
_PROFILE = st.lists(
    st.one_of(
        st.sampled_from(sorted(_FIELDS)).flatmap(
            lambda name: st.tuples(st.just(name), _FIELDS[name])
        ),
        st.tuples(_UNKNOWN, _ANYTHING),
    ),
    max_size=6,
).map(dict)


@settings(deadline=None, database=None, max_examples=250)
@given(_PROFILE)
@example({"connections": "9223372036854775808"})
@example({"region_latitude": "0x10"})
def test_nothing_that_the_provider_sends_is_lost(profile: dict[str, Any]) -> None:
    payload = msgspec.json.encode(profile)
    sent = Counter(map(as_text, leaves(msgspec.json.decode(payload))))
    kept = Counter(map(as_text, found_leaves(profile_row(payload))))
    assert kept == sent


@settings(deadline=None, database=None, max_examples=200)
@given(st.lists(_PROFILE, min_size=1, max_size=3))
def test_every_profile_fits_the_schema(profiles: list[dict[str, Any]]) -> None:
    identifying = {"lookup_id": 1, "source_file": "a.csv", "source_row": 2}
    rows = [identifying | profile_row(msgspec.json.encode(profile)) for profile in profiles]
    batch = pa.RecordBatch.from_pylist(rows, schema=PROFILES.schema)
    batch.validate(full=True)
    for row, found in zip(rows, batch.to_pylist(), strict=True):
        assert found == dict.fromkeys(found) | row


@settings(deadline=None, database=None, max_examples=250)
@given(_PROFILE)
@example({"links": {"a": 1, "b": "u"}, "npi_data": [{"npi_number": 1}, {}], "metadata": None})
@example({"emails": [{"grade": "A", "new": {"x": 1}}], "emails.0.new": 3, "birth_year": "old"})
def test_a_row_turned_into_json_makes_the_same_row_again(sent: dict[str, Any]) -> None:
    published = profile_row(msgspec.json.encode(sent))
    assert profile_row(profile_payload(7, published)) == published


def test_json_that_could_not_be_decoded_stays_in_the_row() -> None:
    published = profile_row(b'{"name": "Ada", \xff')
    assert profile_row(profile_payload(7, published)) == published
