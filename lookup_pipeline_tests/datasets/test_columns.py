"""The table of datasets: what everything else is written from, the dictionary in docs included."""

import pytest

from lookup_pipeline.datasets import dictionary
from lookup_pipeline.datasets.columns import (
    DATASETS,
    FAILED_LOOKUPS,
    LOOKUPS,
    NAMES,
    PENDING_LOOKUPS,
    PROFILES,
    REJECTED_NAMES,
    Dataset,
)

REQUESTED = [
    "requested_name",
    "requested_employer",
    "requested_title",
    "requested_linkedin_url",
    "requested_email",
    "requested_npi_number",
    "requested_id",
]
IDENTIFYING = ["lookup_id", "source_file", "source_row", *REQUESTED]


def names_of(dataset: Dataset) -> list[str]:
    return [column.name for column in dataset.columns]


def test_the_dictionary_in_docs_is_current() -> None:
    assert dictionary.PATH.read_text(encoding="utf-8") == dictionary.dictionary()


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)
def test_every_column_has_a_name_of_its_own_and_a_description(dataset: Dataset) -> None:
    assert len(names_of(dataset)) == len(set(names_of(dataset)))
    for column in dataset.columns:
        assert column.description.endswith(".")
        field = dataset.schema.field(column.name)
        assert field.metadata == {b"description": column.description.encode()}
        assert (field.type, field.nullable) == (column.type, column.nullable)
        assert f"| `{column.name}` | `{column.type}` |" in dictionary.dictionary()


def test_the_datasets_are_those_of_the_contract() -> None:
    assert [dataset.name for dataset in DATASETS] == [
        "names",
        "rejected_names",
        "lookups",
        "profiles",
        "failed_lookups",
        "pending_lookups",
    ]


def test_the_columns_that_the_contract_names_are_there() -> None:
    assert names_of(NAMES) == [
        "source_file",
        "source_row",
        *REQUESTED,
        "identity",
        "query",
        "source_columns",
    ]
    assert names_of(REJECTED_NAMES) == ["source_file", "source_row", "reasons", "raw_row"]
    assert names_of(LOOKUPS) == [*IDENTIFYING, "reused"]
    assert names_of(FAILED_LOOKUPS) == [
        *IDENTIFYING,
        "failure_kind",
        "failure_reason",
        "http_status",
        "attempts",
        "submitted_at",
        "failed_at",
    ]
    assert names_of(PENDING_LOOKUPS) == [
        *IDENTIFYING,
        "state",
        "api_status",
        "profile_id",
        "submitted_at",
        "last_polled_at",
    ]
    profiles = names_of(PROFILES)
    assert profiles[:13] == [*IDENTIFYING, "submitted_at", "completed_at", "profile_id"]
    assert profiles[13:15] == ["refresh_state", "refresh_failure_kind"]
    assert profiles[-2:] == ["extra", "source_columns"]
