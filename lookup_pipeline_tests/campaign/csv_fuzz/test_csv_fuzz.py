"""The fuzzer notices what it is there for: planted losses, crashes and hangs."""

import multiprocessing
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
import pytest

from lookup_pipeline.names.reader import NamesBatch, read_names
from lookup_pipeline_tests.campaign.csv_fuzz import oracle, scenario
from lookup_pipeline_tests.campaign.csv_fuzz.corpus import corpus
from lookup_pipeline_tests.campaign.csv_fuzz.mutations import mutate, shrink
from lookup_pipeline_tests.campaign.csv_fuzz.oracle import BrokenPromiseError, check
from lookup_pipeline_tests.campaign.csv_fuzz.worker import Begun, Failed, told

FILE = b"name,company,note\nAda,Engines,x\nGrace,,\n"


def test_files_as_they_were_exported_are_read(tmp_path: Path) -> None:
    readings = [check(tmp_path, content) for content in corpus()]
    assert [reading.unreadable for reading in readings if reading.rows == 0] == []


@pytest.mark.parametrize("dataset", ["usable", "rejected"])
def test_a_row_that_is_gone_is_noticed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dataset: str
) -> None:
    def forgetful(*arguments: Any) -> Iterator[NamesBatch]:
        for batch in read_names(*arguments):
            setattr(batch.report, dataset, 0)
            yield replace(batch, **{dataset: getattr(batch, dataset)[:0]})

    monkeypatch.setattr(oracle, "read_names", forgetful)
    with pytest.raises(BrokenPromiseError, match="rows in = names") as broken:
        check(tmp_path, FILE)
    assert broken.value.lost == 1


def test_a_value_that_is_gone_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def forgetful(*arguments: Any) -> Iterator[NamesBatch]:
        for batch in read_names(*arguments):
            lossy = [dict[str, str]() for _ in range(len(batch.usable))]
            yield replace(batch, usable=batch.usable.assign(source_columns=pd.Series(lossy)))

    monkeypatch.setattr(oracle, "read_names", forgetful)
    with pytest.raises(BrokenPromiseError, match="values are kept"):
        check(tmp_path, FILE)


def test_a_process_that_says_nothing_more_about_a_file_hangs_or_has_crashed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scenario, "_SECONDS", 0.05)
    ours, theirs = multiprocessing.Pipe(duplex=False)
    theirs.send(Begun(10, "a nasty one"))
    assert "a hang" in str(scenario._watch(ours, scenario._Tally()))
    theirs.send(Begun(10, "a nasty one"))
    theirs.close()
    assert scenario._watch(ours, scenario._Tally()) == "a crash, a nasty one"


def test_what_went_wrong_is_told_with_the_file_that_shows_it(tmp_path: Path) -> None:
    ours, theirs = multiprocessing.Pipe(duplex=False)
    theirs.send(Failed("ValueError in reader.py, _batch", "…", 2, b"the file"))
    theirs.close()
    tally = scenario._Tally(kept=tmp_path)
    assert scenario._watch(ours, tally) is None
    assert tally.lost == 2
    assert str(tmp_path / "1.csv") in tally.problems[0]
    assert (tmp_path / "1.csv").read_bytes() == b"the file"


def test_a_seed_makes_the_same_damage_again() -> None:
    files = corpus()
    assert [mutate(Random(5), files) for _ in range(3)] == [mutate(Random(5), files)] * 3


def test_a_failing_file_is_made_small() -> None:
    assert shrink(b"many bytes, of which one X is enough", lambda each: b"X" in each) == b"X"


def test_one_mistake_is_told_in_the_same_words_whatever_the_file() -> None:
    first, second = BrokenPromiseError("it holds", "line 1"), BrokenPromiseError("it holds", "2")
    assert told(first) == told(second)
