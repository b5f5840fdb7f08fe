"""A pipeline in tmp_path for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lookup_pipeline.sandbox.process import RunningSandbox
from lookup_pipeline_tests.enrichment.pipeline import Pipeline, opened_pipeline


@pytest.fixture
def pipeline(tmp_path: Path, sandbox: RunningSandbox) -> Iterator[Pipeline]:
    with opened_pipeline(tmp_path, sandbox.base_url, sandbox.api_key) as opened:
        yield opened
