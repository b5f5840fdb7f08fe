"""Keeping two commands out of one folder, or having them take turns."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lookup_pipeline.command_line.errors import NotStartedError


@contextmanager
def held(folder: Path, otherwise: str) -> Iterator[None]:
    """Keep other processes that ask for it out of a folder, to the end of the block or of ours.

    Raises:
        NotStartedError: with the words of `otherwise`, when another process holds it.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NotStartedError(otherwise) from None
        yield
    finally:
        os.close(descriptor)


@contextmanager
def turn_in(folder: Path) -> Iterator[None]:
    """Wait for a turn in a folder that other processes take turns in, too."""
    with (folder / ".turn").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
