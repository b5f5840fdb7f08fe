"""Which CSV files belong to a date; reading them is ``reader``'s work."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

from upath import UPath


@dataclass(frozen=True)
class NamesFile:
    """One CSV file of a date.

    Attributes:
        path: Where the file is: a local path or an object-store URL.
        source_file: Its POSIX path below the names folder, as it stands in the datasets.
    """

    path: UPath
    source_file: str


def find_files(names_folder: UPath, lookup_date: dt.date) -> list[NamesFile]:
    """Finds ``<names>/YYYY-MM-DD.csv`` and every ``<names>/YYYY-MM-DD/*.csv``.

    Hidden files (a leading dot) are passed over, as a shell's ``*.csv`` does. In the folder the
    ending may be in capitals too, as some exports write it.

    Args:
        names_folder: A local folder or any fsspec URL. It need not exist.
        lookup_date: The partition's date.

    Returns:
        The files, sorted by ``source_file``; an empty list when there are none.
    """
    # Object stores remember listings for the life of the process: a file added since would be
    # overlooked.
    names_folder.fs.invalidate_cache()
    day = lookup_date.isoformat()
    found = [*_single_file(names_folder, day), *_folder_files(names_folder, day)]
    return sorted(found, key=lambda file: file.source_file)


def _single_file(names_folder: UPath, day: str) -> Iterator[NamesFile]:
    path = names_folder / f"{day}.csv"
    if path.is_file():
        yield NamesFile(path, path.name)


def _folder_files(names_folder: UPath, day: str) -> Iterator[NamesFile]:
    folder = names_folder / day
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        is_csv = path.name.lower().endswith(".csv") and not path.name.startswith(".")
        if is_csv and path.is_file():
            yield NamesFile(path, f"{day}/{path.name}")
