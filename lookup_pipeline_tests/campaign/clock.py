"""One clock for all processes of a scenario, which can be moved while they work."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from lookup_pipeline_tests.enrichment.pipeline import MovableClock


class FileClock(MovableClock):
    """The real time, plus the seconds that stand in a file: whoever writes it moves all clocks."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self._offset()

    def advance(self, **by: float) -> None:
        """Move every process's clock, back where `by` is negative."""
        moved = self._offset() + timedelta(**by)
        beside = self._file.with_suffix(".new")
        beside.write_text(str(moved.total_seconds()))
        # At once: a process may look at the time in the middle of it.
        beside.replace(self._file)

    def _offset(self) -> timedelta:
        try:
            return timedelta(seconds=float(self._file.read_text()))
        except FileNotFoundError:
            return timedelta(0)
