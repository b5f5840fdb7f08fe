"""`demo`: the sample data against the sandbox, with nothing configured."""

import os
import shutil
from pathlib import Path

from rich.console import Console

from lookup_pipeline import settings
from lookup_pipeline.command_line.exclusive import held
from lookup_pipeline.command_line.instance import open_instance, prepare_home
from lookup_pipeline.sandbox.process import running_sandbox
from lookup_pipeline.settings import PACKAGE, project_root

# Fates for the sample people that show every dataset: most are found, some are not, and a few
# take longer than the others.
_SANDBOX = {
    "seed": 7,
    "complete_after_polls": 1,
    "extra_polls": 1,
    "not_found": 0.06,
    "failed": 0.04,
    "without_contact": 0.05,
    # Enough for the eye to follow the bar.
    "latency_seconds": 0.1,
}

_SAMPLE_DATES = ("2026-01-05", "2026-01-06", "2026-01-07")

# Seconds; it takes some twenty.
_TIMEOUT = 150


def demo(console: Console) -> int:
    """Run the sample partitions in a folder of their own, made afresh; the exit code of `run`.

    Raises:
        NotStartedError: another demo is at work there.
    """
    folder = project_root() / "data" / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    with (
        held(folder, f"Another demo is at work in {folder}: let it end first."),
        running_sandbox(**_SANDBOX) as sandbox,
    ):
        _empty(folder)
        configure(folder, sandbox.base_url, sandbox.api_key)
        prepare_home(folder / "dagster")
        # After the configuration: the partitions' start is read when definitions load.
        from lookup_pipeline.command_line.run import run  # noqa: PLC0415
        from lookup_pipeline.definitions import defs  # noqa: PLC0415

        dates = sample_dates()
        console.print(
            f"The simulated API answers at {sandbox.base_url}; enriching {', '.join(dates)}."
        )
        with open_instance() as instance:
            code = run(console, defs, instance, dates, _TIMEOUT)
        console.print(f"Credits charged by the simulated API: {len(sandbox.charges())}.")
    return code


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def configure(folder: Path, base_url: str, api_key: str) -> None:
    """Point every setting at the sandbox and at `folder`, whatever the environment says."""
    for name in (*settings.DEFAULTS, settings.API_KEY):
        os.environ.pop(name, None)
    os.environ.update(
        {
            settings.BASE_URL: base_url,
            settings.API_KEY: api_key,
            settings.REQUESTS_PER_SECOND: "0",
            settings.OUTPUT_URL: str(folder / "output"),
            settings.LEDGER_URL: f"sqlite:///{folder / 'ledger.db'}",
        }
    )


def sample_dates() -> list[str]:
    """The dates of the sample files; files of the user's own beside them are left alone."""
    names = PACKAGE.parent / "data" / "names"
    if not names.is_dir():
        raise settings.ConfigurationError(
            "The sample data is not there: the demo runs in a checkout of the project."
        )
    return list(_SAMPLE_DATES)
