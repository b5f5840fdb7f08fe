"""The Dagster instance the command line works with: the one the UI shows."""

import os
import shutil
from pathlib import Path

from dagster import DagsterInstance

from lookup_pipeline.settings import PACKAGE, project_root

TEMPLATE = PACKAGE / "dagster.yaml"


def prepare_home(home: Path | None = None) -> Path:
    """Make sure of DAGSTER_HOME, with a dagster.yaml in it, and set the variable.

    Args:
        home: the folder; by default DAGSTER_HOME, else `.dagster/` in the project's root.

    Returns:
        The folder.
    """
    given = os.environ.get("DAGSTER_HOME")
    folder = home or (Path(given) if given else project_root() / ".dagster")
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "dagster.yaml").exists():
        shutil.copyfile(TEMPLATE, folder / "dagster.yaml")
    os.environ["DAGSTER_HOME"] = str(folder.resolve())
    return folder


def open_instance() -> DagsterInstance:
    """The instance in DAGSTER_HOME; `prepare_home` comes first."""
    return DagsterInstance.get()
