"""The rules as a schema, and rows checked against it: pandera finds all that is wrong with each."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import pandas as pd
import pandera.pandas as pa

from lookup_pipeline.names.identity import Query, Requested, query_of
from lookup_pipeline.names.rules import (
    EMPLOYER_ALONE,
    NAME_ALONE,
    NAMES_SOMEBODY,
    ROW_RULES,
    VALUE_RULES,
    complain,
)
from lookup_pipeline.names.values import said

_VALUE_RULE = {(rule.field, rule.complaint): rule for rule in VALUE_RULES}
_ROW_RULE = {rule.field: rule for rule in ROW_RULES}


def _names_somebody(frame: pd.DataFrame) -> "pd.Series[bool]":
    asked = [query is not None for query in queries(frame)]
    return pd.Series(asked, index=frame.index, dtype=bool)


SCHEMA = pa.DataFrameSchema(
    {
        **{
            field: pa.Column(
                checks=[
                    pa.Check(
                        rule.holds, element_wise=True, error=rule.complaint, description=rule.rule
                    )
                    for rule in VALUE_RULES
                    if rule.field == field
                ],
                nullable=True,
            )
            for field in Requested._fields
        },
        **{
            rule.field: pa.Column(
                checks=pa.Check.eq(0, error=rule.complaint, description=rule.rule)
            )
            for rule in ROW_RULES
        },
    },
    checks=pa.Check(
        _names_somebody, error=NAMES_SOMEBODY.complaint, description=NAMES_SOMEBODY.rule
    ),
)
"""One row of a file: the seven fields of ``Requested``, cleaned and None where they say nothing,
and how often each of ``ROW_RULES`` is broken."""


def checkable(requested: Mapping[str, Iterable[str | None]]) -> pd.DataFrame:
    """What rows say, by ``Requested``'s fields, as ``SCHEMA`` takes it; ``ROW_RULES`` all kept."""
    # dtype=object: pandas' own string type would turn None into NaN.
    frame = pd.DataFrame(
        {field: list(map(said, requested[field])) for field in Requested._fields}, dtype=object
    )
    return frame.assign(**{rule.field: 0 for rule in ROW_RULES})


def queries(frame: pd.DataFrame) -> list[Query | None]:
    """What is asked about each row, its ``ROW_RULES`` aside."""
    columns = (frame[field].tolist() for field in Requested._fields)
    return list(map(query_of, map(Requested._make, zip(*columns, strict=True))))


def usable_rows(frame: pd.DataFrame, asked: Sequence[Query | None]) -> "pd.Series[bool]":
    """Which rows ``SCHEMA`` accepts, given their ``queries``: quicker than finding reasons."""
    broken = frame[[rule.field for rule in ROW_RULES]].any(axis=1)
    return pd.Series([query is not None for query in asked], index=frame.index) & ~broken


class Checked(NamedTuple):
    """What is wrong with some rows.

    Attributes:
        reasons: By the row's place, every reason why it cannot be used.
        passed_over: By the row's place, what is wrong with values of rows that can be used all
            the same: another value of theirs serves.
    """

    reasons: dict[int, list[str]]
    passed_over: dict[int, list[str]]


def check_rows(frame: pd.DataFrame) -> Checked:
    """Check rows against ``SCHEMA``; by their labels in the frame's index, each of which is one."""
    try:
        SCHEMA.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as errors:
        failures = errors.failure_cases
    else:
        return Checked({}, {})
    complaints: dict[int, list[str]] = defaultdict(list)
    nobody: set[int] = set()
    about_rows: dict[int, list[str]] = defaultdict(list)
    found = failures[["schema_context", "column", "check", "failure_case", "index"]]
    for context, column, check, value, place in found.itertuples(index=False):
        if context == "DataFrameSchema":
            nobody.add(int(place))
        elif (rule := _ROW_RULE.get(column)) is not None:
            about_rows[int(place)].append(rule.complaint.format(value))
        else:
            complaints[int(place)].append(complain(_VALUE_RULE[column, check], value))
    unusable = nobody | about_rows.keys()
    reasons = {
        place: [*about_rows.get(place, ()), *complaints.get(place, ()), *missing]
        for place in sorted(unusable)
        for missing in [_missing(frame, place) if place in nobody else []]
    }
    for place in nobody:
        reasons[place] = reasons[place] or [NAMES_SOMEBODY.complaint]
    passed_over = {place: said for place, said in complaints.items() if place not in unusable}
    return Checked(reasons, passed_over)


def _missing(frame: pd.DataFrame, place: int) -> list[str]:
    """What half of a name with an employer lacks."""
    name, employer = frame.at[place, "name"], frame.at[place, "employer"]
    if name is not None and employer is None:
        return [NAME_ALONE]
    if employer is not None and name is None:
        return [EMPLOYER_ALONE]
    return []
