"""What tells the runs of `make dev` from real ones, in the DAGSTER_HOME that they share.

`command_line/shared_home.py` sees that nothing of a simulation is left on at its end. Where it was
killed before that, the next daemon takes up what it finds: here it is kept from spending credits.
"""

import os
from pathlib import Path

from dagster import DagsterInstance, DagsterRun

from lookup_pipeline.settings import ConfigurationError

MARK = "simulated"
"""The file that stands in a home from the start of a simulation to the end of its clean-up."""

PROCESS_VARIABLE = "LOOKUP_PIPELINE_SIMULATED_HOME"
"""The environment variable by which the processes of a simulation are known, with their home."""


class LeftoverRunError(ConfigurationError):
    """A run may belong to a simulation that was killed: nobody asks for it any more."""


def refuse_leftover(instance: DagsterInstance, run: DagsterRun) -> None:
    """Refuse what a real daemon may have taken over from a simulation that was killed.

    A run without an origin is of `lookup-pipeline run`: somebody has just asked for it.

    Raises:
        LeftoverRunError: the run may be a leftover of a simulation.
    """
    mark = Path(instance.root_directory) / MARK
    launched_by_daemon = run.remote_job_origin is not None
    if launched_by_daemon and mark.exists() and PROCESS_VARIABLE not in os.environ:
        raise LeftoverRunError(
            f"A `make dev` in {mark.parent} was killed, or is still at work, so this run may "
            "belong to its simulation. End it; or start it once more and end it with Ctrl-C, which "
            f"stops what it left behind; or, if this run is meant, remove {mark} and run it again."
        )
