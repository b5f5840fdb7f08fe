"""An output folder."""

from pathlib import Path

import pytest

from lookup_pipeline.datasets.storage import DatasetFolder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "output"


@pytest.fixture
def folder(root: Path) -> DatasetFolder:
    return DatasetFolder(str(root))
