"""No error, log, event or metadata quotes a person, whichever layer fails."""

import logging
import sys
import traceback
from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from lookup_pipeline import sensors
from lookup_pipeline.ledger import Ledger, LedgerError
from lookup_pipeline.ledger.resumption import find_wait
from lookup_pipeline.ledger.tables import lookups
from lookup_pipeline.private_errors import UnexpectedError, without_personal_data
from lookup_pipeline.sensors import lookup_status_sensor
from lookup_pipeline_tests.dagster_layer.conftest import DATE, Project, evaluate

ADDRESS = "zebulon@quagmire.example"
CSV = f"name,company,email\nZebulon Quagmire,Xyzzy Works,{ADDRESS}\n"
PERSONAL = (ADDRESS, "Quagmire")


class DriverError(Exception):
    """As a driver of another database tells it."""

    sqlstate = "23505"


def detailed(*_arguments: Any, **_settings: Any) -> None:
    detail = f'duplicate key value\nDETAIL:  Key (identity)=("{ADDRESS}") already exists.'
    raise IntegrityError("INSERT INTO lookups", {"identity": ADDRESS}, DriverError(detail))


def quoting(*_arguments: Any, **_settings: Any) -> None:
    try:
        _ = dict[str, str]()[ADDRESS]
    except KeyError as error:
        raise ValueError(f"not a number: {ADDRESS!r}") from error


def told(project: Project, caplog: pytest.LogCaptureFixture, capfd: Any) -> str:
    """All that an operator, or a collector of logs, could see."""
    said = [str(record.__dict__) for record in caplog.records]
    for run in project.instance.get_runs():
        said += [str(event) for event in project.instance.all_logs(run.run_id)]
        said.append(str(run.tags))
    with project.ledger.read() as connection:
        said.append(str(find_wait(connection, DATE)))
    return "\n".join([*said, *capfd.readouterr()])


def in_ledger(*_arguments: Any, **_settings: Any) -> None:
    with ledger_of_the_test[0].write():
        detailed()


ledger_of_the_test: list[Ledger] = []


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("names", "write_names"),
        ("lookups", "register"),
        ("lookups", "count_partitions"),
        ("submission", "submit"),
        ("published", "publish"),
    ],
)
@pytest.mark.parametrize("failure", [quoting, in_ledger], ids=["library", "driver"])
def test_a_run_that_fails_in_any_layer_quotes_nobody(
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    module: str,
    name: str,
    failure: Any,
) -> None:
    caplog.set_level(logging.DEBUG)
    ledger_of_the_test[:] = [project.ledger]
    project.write(CSV)
    with monkeypatch.context() as broken:
        broken.setattr(sys.modules[f"lookup_pipeline.assets.{module}"], name, failure)
        assert not project.run().success
    said = told(project, caplog, capfd)
    assert not [word for word in PERSONAL if word in said]
    assert "ValueError" in said or "DriverError 23505" in said, "but what happened"


@pytest.mark.parametrize("failure", [quoting, in_ledger], ids=["library", "driver"])
def test_a_tick_that_fails_quotes_nobody(
    project: Project, monkeypatch: pytest.MonkeyPatch, failure: Any
) -> None:
    ledger_of_the_test[:] = [project.ledger]
    monkeypatch.setattr(sensors, "end_dead_runs", failure)
    with pytest.raises((UnexpectedError, LedgerError)) as raised:
        evaluate(lookup_status_sensor, project)
    printed = "".join(traceback.format_exception(raised.value))
    assert ADDRESS not in printed


def test_a_run_that_works_logs_nobody_at_debug_level(
    project: Project, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    project.write(CSV)
    assert project.run().success
    said = told(project, caplog, capfd)
    assert "lookups" in said
    assert not [word for word in PERSONAL if word in said]


def test_a_mistake_of_ours_in_the_ledger_names_no_value(project: Project) -> None:
    values = {"identity": ADDRESS, "parameters": "{}", "state": "queued"}
    writing = project.ledger.write()
    with pytest.raises(LedgerError, match="UNIQUE constraint failed") as raised, writing as open_:
        open_.execute(insert(lookups), [values, values])
    assert ADDRESS not in "".join(traceback.format_exception(raised.value))


def test_an_unexpected_error_says_where_it_happened() -> None:
    place = r"Unexpected ValueError at .*\(quoting\)"
    with pytest.raises(UnexpectedError, match=place) as raised, without_personal_data():
        quoting()
    assert raised.value.__suppress_context__


def test_our_own_errors_stay_as_they_are() -> None:
    with pytest.raises(LedgerError, match="as it was"), without_personal_data():
        raise LedgerError("as it was")
