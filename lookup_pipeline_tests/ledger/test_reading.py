"""A row whose columns a newer version reads otherwise is the row it was; another row is not."""

from typing import Any

import msgspec
import pytest

from lookup_pipeline.ledger.reading import is_read_anew


def row(columns: dict[str, str] | None = None, **requested: str) -> str:
    texts: dict[str, Any] = {f"requested_{field}": value for field, value in requested.items()}
    return msgspec.json.encode({**texts, "source_columns": columns or {}}).decode()


ADA = {"name": "Ada Byron", "employer": "Acme"}
MAIL = {"Mail": " ada@acme.org ", "Cost Centre": "7"}


@pytest.mark.parametrize(
    ("before", "now"),
    [
        # A column that was carried through is an address now.
        (row(MAIL, **ADA), row({"Cost Centre": "7"}, email="ada@acme.org", **ADA)),
        # It takes the place of another one, which is carried through instead.
        (
            row(MAIL, email="old@acme.org", **ADA),
            row({"Cost Centre": "7", "E-Mail": "old@acme.org"}, email="ada@acme.org", **ADA),
        ),
        # A column of first names makes the name whole.
        (
            row({"Vorname": "Ada"}, name="Byron", employer="Acme"),
            row({}, **ADA),
        ),
    ],
)
def test_a_column_that_is_read_now_makes_no_other_row(before: str, now: str) -> None:
    assert is_read_anew(before, now)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        # Nothing is read that was not.
        (row(MAIL, **ADA), row(MAIL, **ADA)),
        (row({}, **ADA), row({}, email="ada@acme.org", **ADA)),
        # Another address than the one that was carried through.
        (row(MAIL, **ADA), row({"Cost Centre": "7"}, email="ben@acme.org", **ADA)),
        # Another row, by what is carried through.
        (row(MAIL, **ADA), row({"Cost Centre": "8"}, email="ada@acme.org", **ADA)),
        # Two columns have changed their headers: it is the manager who is asked for now.
        (row({"Manager": "Ben"}, name="Ada"), row({"Old": "Ada"}, name="Ben")),
        # The employer is another one, and without a name an address is somebody else's.
        (row({"Firm": "Univac"}, **ADA), row({"Old": "Acme"}, name="Ada Byron", employer="Univac")),
        (
            row(MAIL, email="b@x.org"),
            row({"Cost Centre": "7", "O": "b@x.org"}, email="ada@acme.org"),
        ),
    ],
)
def test_what_may_be_somebody_else_is_another_row(before: str, now: str) -> None:
    assert not is_read_anew(before, now)
