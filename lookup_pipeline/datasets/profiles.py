"""One profile's JSON to one row: known fields typed, everything else kept in `extra`.

Nothing the provider sent is dropped: a field that no column holds, and a value that its column's
type can't hold, go to `extra` under their path (`emails.0.confidence`); a profile that is not
JSON to the end (bytes that are no UTF-8, numbers out of range) goes there whole, as text.
"""

import re
from collections.abc import Callable, Mapping
from functools import cache
from math import isfinite
from typing import Any

import msgspec
import pyarrow as pa

from lookup_pipeline.datasets.columns import PROFILE_FIELDS

# What arrives as one object and is published as a list of structs.
_OPEN_OBJECTS = {"links"}
_SINGLE_OBJECTS = {"npi_data", "profile_list"}
_AS_JSON = {"metadata"}

Extra = dict[str, Any]
Convert = Callable[[Any, str, Extra], Any]

_INT64 = range(-(2**63), 2**63)

# Python's own `float` also takes "nan", "inf" and "1_0", which are no numbers to others.
_DECIMAL = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)


def profile_row(payload: bytes) -> dict[str, Any]:
    """Turn a profile object's JSON into the profile columns of a row, `extra` included."""
    extra: Extra = {}
    try:
        profile: dict[str, Any] = msgspec.json.decode(payload)
    except (ValueError, RecursionError):
        # Only its head was read when it came. It was paid for, so what there is gets published.
        profile, extra["undecodable"] = {}, payload.decode(errors="replace")
    row = {
        name: None if (value := profile.pop(name, None)) is None else convert(value, name, extra)
        for name, convert in _converters()
    }
    profile.pop("id", None)
    for name, value in profile.items():
        if value is not None:
            # A field may be named like the path of another one.
            key = name
            while key in extra:
                key += "_"
            extra[key] = value
    row["extra"] = msgspec.json.encode(extra, order="sorted").decode() if extra else None
    return row


def profile_payload(profile_id: int | None, row: Mapping[str, Any]) -> bytes:
    """Return JSON from which `profile_row` makes this row's profile columns again.

    It need not be the JSON that the provider sent: what no column held stays under its path.

    Args:
        profile_id: the provider's id of the person.
        row: the profile columns and `extra`, as read from the file; other columns are passed over.
    """
    found: dict[str, Any] = {"id": profile_id}
    for name, _convert in _converters():
        if (value := row[name]) is None:
            continue
        if name in _OPEN_OBJECTS:
            value = {each["site"]: each["url"] for each in value}
        elif name in _AS_JSON:
            value = msgspec.json.decode(value)
        found[name] = value
    found |= msgspec.json.decode(row["extra"] or "{}")
    return msgspec.json.encode(found)


@cache
def _converters() -> tuple[tuple[str, Convert], ...]:
    return tuple((column.name, _converter(column.name, column.type)) for column in PROFILE_FIELDS)


def _converter(name: str, type_: pa.DataType) -> Convert:
    if name in _OPEN_OBJECTS:
        return _links
    if name in _AS_JSON:
        return lambda value, _path, _extra: msgspec.json.encode(value, order="sorted").decode()
    convert = _of_type(type_)
    if name in _SINGLE_OBJECTS:
        return lambda value, path, extra: convert(
            value if isinstance(value, list) else [value], path, extra
        )
    return convert


def _links(value: Any, path: str, extra: Extra) -> Any:
    if not isinstance(value, dict):
        extra[path] = value
        return None
    kept = []
    for site, url in sorted(value.items()):
        if isinstance(url, str):
            kept.append({"site": site, "url": url})
        elif url is not None:
            extra[f"{path}.{site}"] = url
    return kept


def _of_type(type_: pa.DataType) -> Convert:
    if pa.types.is_list(type_):
        return _list(_of_type(type_.value_type))
    if pa.types.is_struct(type_):
        return _struct({field.name: _of_type(field.type) for field in type_})
    return _scalar(_SCALARS[type_])


def _scalar(parse: Callable[[Any], Any]) -> Convert:
    def convert(value: Any, path: str, extra: Extra) -> Any:
        found = parse(value)
        if found is None:
            extra[path] = value
        return found

    return convert


def _list(convert_item: Convert) -> Convert:
    def convert(value: Any, path: str, extra: Extra) -> Any:
        if not isinstance(value, list):
            extra[path] = value
            return None
        return [
            None if item is None else convert_item(item, f"{path}.{place}", extra)
            for place, item in enumerate(value)
        ]

    return convert


def _struct(fields: dict[str, Convert]) -> Convert:
    names = fields.keys()

    def convert(value: Any, path: str, extra: Extra) -> Any:
        if not isinstance(value, dict):
            extra[path] = value
            return None
        if not value.keys() <= names:
            extra.update(
                {
                    f"{path}.{name}": item
                    for name, item in value.items()
                    if name not in names and item is not None
                }
            )
        return {
            name: None
            if (item := value.get(name)) is None
            else convert_field(item, f"{path}.{name}", extra)
            for name, convert_field in fields.items()
        }

    return convert


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    # The same field is a number in one of the provider's schemas and a text in its twin.
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _integer(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        digits = value.strip()
        value = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 20 else None
    elif isinstance(value, float):
        value = int(value) if value.is_integer() else None
    return value if isinstance(value, int) and value in _INT64 else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and not _DECIMAL.fullmatch(value):
        return None
    if not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if isfinite(number) else None


def _boolean(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


_SCALARS: dict[pa.DataType, Callable[[Any], Any]] = {
    pa.string(): _text,
    pa.int64(): _integer,
    pa.float64(): _number,
    pa.bool_(): _boolean,
}
