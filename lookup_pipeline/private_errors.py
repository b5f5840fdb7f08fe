"""Errors without personal data: what a library or a driver says may quote a person's row.

Our own errors are written without it. Of any other its kind and its place in the code are told, and
nothing of its text, nor of the errors that it came from.
"""

import functools
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

from lookup_pipeline.settings import PACKAGE

# Dagster's and click's are about the run and the command line; the text of an OSError names a file.
_TOLD_AS_THEY_ARE = ("lookup_pipeline", "dagster", "click")

_P = ParamSpec("_P")
_T = TypeVar("_T")


class UnexpectedError(Exception):
    """An error that is not ours; the message tells its kind and where it happened."""


@contextmanager
def without_personal_data() -> Iterator[None]:
    """Replace an error that is not ours by one that quotes nothing of the data.

    Raises:
        UnexpectedError: in its place.
    """
    try:
        yield
    except Exception as error:
        module = type(error).__module__.partition(".")[0]
        if module in _TOLD_AS_THEY_ARE or isinstance(error, OSError):
            raise
        raise UnexpectedError(_describe(error)) from None


def with_private_errors(work: Callable[_P, Iterator[_T]]) -> Callable[_P, Iterator[_T]]:
    """Have an asset's function raise errors without personal data."""

    @functools.wraps(work)
    def wrapped(*arguments: _P.args, **options: _P.kwargs) -> Iterator[_T]:
        with without_personal_data():
            yield from work(*arguments, **options)

    return wrapped


def _describe(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(PACKAGE)]
    # The innermost of ours, and whatever it called.
    shown = [*ours[-3:], *(frames[-1:] if frames and frames[-1] not in ours else [])]
    places = ", ".join(
        f"{Path(frame.filename).name}:{frame.lineno} ({frame.name})" for frame in reversed(shown)
    )
    return (
        f"Unexpected {type(error).__name__} at {places}. Its text is left out, since it may quote "
        "a person's data. This is a defect of the pipeline: report it with this line."
    )
