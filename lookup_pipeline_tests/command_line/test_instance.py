"""The Dagster instance that the commands share."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

OPEN = """
from lookup_pipeline.command_line.instance import open_instance, prepare_home
prepare_home()
with open_instance() as instance:
    assert instance.get_run_records() == []
"""


def test_commands_that_are_the_first_in_a_new_home_at_once_do_not_break_it(tmp_path: Path) -> None:
    environment = os.environ | {"DAGSTER_HOME": str(tmp_path / "home")}
    first = [
        subprocess.Popen([sys.executable, "-c", OPEN], env=environment, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    for each in first:
        said = each.communicate(timeout=120)[1]
        assert each.returncode == 0, said.decode()
    databases = sorted((tmp_path / "home").rglob("*.db"))
    assert len(databases) >= 3
    for database in databases:
        with sqlite3.connect(database) as connection:
            heads = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        assert len(heads) == 1, database
