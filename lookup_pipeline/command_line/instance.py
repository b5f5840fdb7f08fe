"""The Dagster instance the command line works with: the one the UI shows."""

import os
import shutil
from pathlib import Path

from dagster import DagsterInstance

from lookup_pipeline.command_line.exclusive import turn_in
from lookup_pipeline.settings import PACKAGE, ConfigurationError, project_root

TEMPLATE = PACKAGE / "dagster.yaml"


def prepare_home(home: Path | None = None) -> Path:
    """Make sure of DAGSTER_HOME, with a dagster.yaml in it, and set the variable.

    Args:
        home: the folder; by default DAGSTER_HOME, else `.dagster/` in the project's root.

    Returns:
        The folder.

    Raises:
        ConfigurationError: the folder can't be made or written to.
    """
    given = os.environ.get("DAGSTER_HOME")
    folder = home or (Path(given) if given else project_root() / ".dagster")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "dagster.yaml").exists():
            shutil.copyfile(TEMPLATE, folder / "dagster.yaml")
    except OSError as error:
        raise ConfigurationError(
            f"DAGSTER_HOME can't be {folder}: {error.strerror}. It takes a folder that can be "
            "written to (default: .dagster in the project's root)."
        ) from error
    os.environ["DAGSTER_HOME"] = str(folder.resolve())
    return folder


def is_switched_off(sensor: str) -> bool:
    """Whether a sensor was turned off in the UI; a home that is not there has none turned off."""
    given = os.environ.get("DAGSTER_HOME")
    home = Path(given) if given else project_root() / ".dagster"
    if not (home / "dagster.yaml").exists():
        return False
    prepare_home()
    with open_instance() as instance:
        return any(
            state.instigator_name == sensor and state.status.value == "STOPPED"
            for state in instance.all_instigator_state()
        )


def open_instance() -> DagsterInstance:
    """The instance in DAGSTER_HOME; `prepare_home` comes first.

    Dagster makes its databases then, and two processes that do so at once in a new home can leave
    it unusable for good: they take turns.
    """
    with turn_in(Path(os.environ["DAGSTER_HOME"])):
        return DagsterInstance.get()
