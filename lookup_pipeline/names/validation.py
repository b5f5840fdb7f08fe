"""The rules as a schema, and rows checked against it: pandera finds all that is wrong with each."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pandas as pd
import pandera.pandas as pa

from lookup_pipeline.names.identity import Requested, query_of
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
    columns = (frame[field].tolist() for field in Requested._fields)
    asked = [query_of(Requested(*row)) is not None for row in zip(*columns, strict=True)]
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


def clean_rows(columns: Iterable[Iterable[str | None]]) -> list[Requested]:
    """What rows say, given column by column in the order of ``Requested``: None for nothing."""
    cleaned = [map(said, column) for column in columns]
    return list(map(Requested._make, zip(*cleaned, strict=True)))


class Checked(NamedTuple):
    """What is wrong with some rows.

    Attributes:
        reasons: By the row's place, every reason why it cannot be used.
        passed_over: By the row's place, what is wrong with values of rows that can be used all
            the same: another value of theirs serves.
    """

    reasons: dict[int, list[str]]
    passed_over: dict[int, list[str]]


def check_rows(
    cleaned: Sequence[Requested], broken: Sequence[tuple[int, ...]] | None = None
) -> Checked:
    """Check rows against ``SCHEMA``.

    Args:
        cleaned: What they say, as ``clean_rows`` gives it.
        broken: How often each of them breaks each of ``ROW_RULES``; never, by default.
    """
    # dtype=object: pandas' own string type would turn None into NaN.
    frame = pd.DataFrame(list(cleaned), columns=list(Requested._fields), dtype=object)
    counts = [(0,) * len(ROW_RULES)] * len(frame) if broken is None else list(broken)
    properties = [rule.field for rule in ROW_RULES]
    frame[properties] = pd.DataFrame(counts, frame.index, properties, dtype="int64")
    try:
        SCHEMA.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as errors:
        failures = errors.failure_cases
    else:
        return Checked({}, {})
    complaints: dict[int, list[str]] = defaultdict(list)
    nobody: set[int] = set()
    about_rows: dict[int, list[str]] = defaultdict(list)
    columns = ["schema_context", "column", "check", "failure_case", "index"]
    for context, column, check, value, place in failures[columns].itertuples(index=False):
        if context == "DataFrameSchema":
            nobody.add(int(place))
        elif (rule := _ROW_RULE.get(column)) is not None:
            about_rows[int(place)].append(rule.complaint.format(value))
        else:
            complaints[int(place)].append(complain(_VALUE_RULE[column, check], value))
    unusable = nobody | about_rows.keys()
    reasons = {}
    for place in sorted(unusable):
        reasons[place] = [*about_rows.get(place, ()), *complaints.get(place, ())]
        if place in nobody:
            reasons[place] += _missing(frame, place)
            reasons[place] = reasons[place] or [NAMES_SOMEBODY.complaint]
    passed_over = {place: found for place, found in complaints.items() if place not in unusable}
    return Checked(reasons, passed_over)


def _missing(frame: pd.DataFrame, place: int) -> list[str]:
    """What half of a name with an employer lacks."""
    name, employer = frame.at[place, "name"], frame.at[place, "employer"]
    if name is not None and employer is None:
        return [NAME_ALONE]
    if employer is not None and name is None:
        return [EMPLOYER_ALONE]
    return []
