"""A ledger in an SQLite file."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lookup_pipeline.ledger import Ledger, open_ledger
from lookup_pipeline_tests.ledger.helpers import sqlite_url


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = open_ledger(sqlite_url(tmp_path))
    yield opened
    opened.close()
