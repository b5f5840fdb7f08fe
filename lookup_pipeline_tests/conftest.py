"""What holds for every test."""

from pathlib import Path

import pytest

_ENV_FILE = Path(__file__).parents[1] / ".env"


def pytest_sessionstart() -> None:
    """Refuse to run beside a `.env`: it wins over the environment, and may hold a real key."""
    if _ENV_FILE.exists():
        pytest.exit(
            f"Move {_ENV_FILE} away first: the commands under test would read it and use what it "
            "names instead of the simulated API.",
            returncode=2,
        )
