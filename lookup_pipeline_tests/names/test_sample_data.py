"""The sample files: what a first run reads."""

import datetime as dt
from pathlib import Path

import pandas as pd
import pytest
from upath import UPath

from lookup_pipeline.names.files import find_files
from lookup_pipeline.names.identity import REQUESTED_COLUMNS, build_query
from lookup_pipeline.names.reader import NamesBatch, read_names

SAMPLES = UPath(str(Path(__file__).parents[2] / "data" / "names"))
DATES = [dt.date(2026, 1, 5), dt.date(2026, 1, 6), dt.date(2026, 1, 7)]


def batches(*dates: dt.date) -> list[NamesBatch]:
    return [batch for date in dates for batch in read_names(find_files(SAMPLES, date))]


@pytest.fixture(scope="module")
def usable() -> pd.DataFrame:
    rows = pd.concat([batch.usable for batch in batches(*DATES)], ignore_index=True)
    queries = [build_query(*row) for row in rows[list(REQUESTED_COLUMNS)].itertuples(index=False)]
    rows["identity"] = pd.Series([query.identity for query in queries if query])
    rows["parameters"] = pd.Series([query.parameters for query in queries if query], dtype=object)
    return rows


def test_the_three_dates_hold_one_file_two_files_and_one_file() -> None:
    assert [[file.source_file for file in find_files(SAMPLES, date)] for date in DATES] == [
        ["2026-01-05.csv"],
        ["2026-01-06/conference.csv", "2026-01-06/crm_export.csv"],
        ["2026-01-07.csv"],
    ]


@pytest.mark.parametrize(
    ("date", "usable", "rejected"), list(zip(DATES, [55, 65, 41], [3, 6, 2], strict=True))
)
def test_each_date_has_usable_and_rejected_rows(date: dt.date, usable: int, rejected: int) -> None:
    read = batches(date)
    assert sum(len(batch.usable) for batch in read) == usable
    assert sum(len(batch.rejected) for batch in read) == rejected


def test_every_kind_of_identifier_is_there(usable: pd.DataFrame) -> None:
    kinds = usable["identity"].str.split(":").str[1].value_counts().to_dict()
    assert kinds == {"name": 132, "email": 11, "linkedin": 7, "id": 6, "npi": 5}


def test_people_stand_in_several_files_under_different_spellings(usable: pd.DataFrame) -> None:
    files_by_identity = usable.groupby("identity")["source_file"].nunique()
    assert len(files_by_identity) == 148
    assert (files_by_identity > 1).sum() == 13
    spellings = usable.groupby("identity")["requested_name"].nunique()
    assert spellings["v3:name:kurt gödel\tinstitute for advanced study"] == 2
    assert spellings["v3:linkedin:grace-hopper-1906-sample"] == 2


def test_every_kind_of_rejection_is_there() -> None:
    reasons = {
        reason
        for batch in batches(*DATES)
        for row_reasons in batch.rejected["reasons"]
        for reason in row_reasons
    }
    for words in (
        "a name without an employer",
        "an employer without a name",
        "is not an e-mail address",
        "is not a positive whole number",
        "is not a 10-digit number",
        "is not the address of a LinkedIn profile",
        "more fields than the header row",
        "no id, linkedin_url",
    ):
        assert any(words in reason for reason in reasons), words


def test_no_sample_row_can_reach_a_real_mailbox_or_a_real_npi(usable: pd.DataFrame) -> None:
    domains = usable["requested_email"].dropna().str.lower().str.split("@").str[1]
    assert set(domains) <= {"example.com", "example.org"}
    # Real NPI numbers begin with 1 or 2.
    assert usable["requested_npi_number"].dropna().str.startswith("9").all()
    assert usable["requested_linkedin_url"].dropna().str.contains("sample|not on", case=False).all()
