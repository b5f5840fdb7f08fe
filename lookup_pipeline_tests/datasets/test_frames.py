"""Data frames become Arrow batches whose types come from the schema, never from the content."""

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookup_pipeline.datasets.columns import NAMES, REJECTED_NAMES
from lookup_pipeline.datasets.frames import record_batch

MAPS = pa.schema([("source_columns", pa.map_(pa.string(), pa.string()))])


def names(**values: object) -> pd.DataFrame:
    """A frame of `names` with one row."""
    row: dict[str, object] = dict.fromkeys(NAMES.schema.names)
    row |= {"source_file": "a.csv", "source_row": 2, "identity": "i", "query": "{}"}
    return pd.DataFrame([row | {"source_columns": {}} | values], dtype=object)


@pytest.mark.parametrize("value", [None, "", "5244", "1.5", "2026-01-05", "True", "NaN"])
def test_a_text_stays_a_text_whatever_it_looks_like(value: str | None) -> None:
    batch = record_batch(names(requested_id=value), NAMES.schema)
    assert batch.schema == NAMES.schema
    assert batch.column("requested_id").to_pylist() == [value]


@pytest.mark.parametrize("dataset", [NAMES, REJECTED_NAMES])
def test_no_rows_have_the_same_types(dataset: object) -> None:
    schema = dataset.schema  # type: ignore[attr-defined]
    batch = record_batch(pd.DataFrame(columns=schema.names, dtype=object), schema)
    assert (batch.schema, batch.num_rows) == (schema, 0)


def test_what_does_not_fit_its_column_is_an_error_and_not_another_type() -> None:
    with pytest.raises((pa.ArrowInvalid, pa.ArrowTypeError)):
        record_batch(names(source_row="two"), NAMES.schema)


def test_lists_of_reasons_are_kept() -> None:
    frame = pd.DataFrame(
        {"source_file": ["a"], "source_row": [2], "reasons": [["x", "y"]], "raw_row": ["r"]}
    )
    assert record_batch(frame, REJECTED_NAMES.schema).column("reasons").to_pylist() == [["x", "y"]]


@given(st.lists(st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=3)))
def test_maps_hold_each_rows_own_entries_in_their_order(rows: list[dict[str, str]]) -> None:
    batch = record_batch(pd.DataFrame({"source_columns": pd.Series(rows, dtype=object)}), MAPS)
    assert batch.column(0).to_pylist() == [list(row.items()) for row in rows]
