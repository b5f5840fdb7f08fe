"""Data frames → Arrow batches of a dataset's schema, column by column."""

from collections.abc import Sequence
from itertools import accumulate, chain
from typing import Any

import pandas as pd
import pyarrow as pa


def record_batch(frame: pd.DataFrame, schema: pa.Schema) -> pa.RecordBatch:
    """Converts a frame with one column for each field of the schema, whatever its values.

    Types come from the schema and never from the content; maps are given as dicts.

    Raises:
        pa.ArrowInvalid: a value does not fit its column's type.
    """
    columns = [_column(frame[field.name].tolist(), field.type) for field in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _column(values: list[Any], kind: pa.DataType) -> "pa.Array[Any]":
    return _maps(values, kind) if isinstance(kind, pa.MapType) else pa.array(values, kind)


def _maps(values: Sequence[dict[str, str]], kind: "pa.MapType[Any, Any]") -> "pa.Array[Any]":
    # Flat, because going through a pair of Python objects for each entry takes ten times as long.
    keys = list(chain.from_iterable(values))
    items = list(chain.from_iterable(each.values() for each in values))
    offsets = pa.array([0, *accumulate(map(len, values))], pa.int32())
    entries = (pa.array(keys, kind.key_type), pa.array(items, kind.item_type))
    return pa.MapArray.from_arrays(offsets, *entries)  # type: ignore[call-overload,no-any-return]
