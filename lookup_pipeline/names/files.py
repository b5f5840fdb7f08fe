"""Which CSV files belong to a date; reading them is ``reader``'s work."""

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from upath import UPath

from lookup_pipeline.names.errors import MissingNamesFolder, UnreadableFile

ENDINGS = (".csv", ".csv.gz", ".csv.zst")

_MOST_SHOWN = 5

# What a UPath calls the local disk: a plain path has no protocol.
_LOCAL = {"", "file", "local"}

_PUT_FILE = "put a CSV file in its place, or remove it if there is none"
_RENAME = "rename the file, with letters of ASCII to be safe"
_MEND_LINK = "see that what it leads to is there (mounted, not renamed), or remove the link"


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

    Each may be packed: ``.csv.gz``, ``.csv.zst``. Hidden files (a leading dot) are passed over, as
    a shell's ``*.csv`` does. In the folder the ending may be in capitals too, as some exports
    write it.

    What bears the name of such a file and is none (a folder, a link that leads nowhere) is an
    error: taken for a day without a file, it would empty what has been published.

    Args:
        names_folder: A local folder, which must exist, or any fsspec URL. An object store has no
            empty folders: there a wrong URL cannot be told from a day without a file.
        lookup_date: The partition's date.

    Returns:
        The files, sorted by ``source_file``; an empty list when there are none.

    Raises:
        MissingNamesFolder: The local names folder is not there, or is no folder.
        UnreadableFile: What should be a file, or the date's folder, is something else, or its
            name is no text.
    """
    if names_folder.protocol in _LOCAL:
        # fsspec's own view of a local disk is blind to links that lead nowhere.
        names_folder = UPath(names_folder.path)
        if not names_folder.is_dir():
            raise MissingNamesFolder(str(names_folder))
    # Object stores remember listings for the life of the process: a file added since would be
    # overlooked.
    names_folder.fs.invalidate_cache()
    day = lookup_date.isoformat()
    found = [*_single_file(names_folder, day), *_folder_files(names_folder, day)]
    return sorted(found, key=lambda file: file.source_file)


def packed_twins(files: Iterable[NamesFile]) -> list[str]:
    """Warnings of files that may be one another, packed: ``a.csv`` beside ``a.csv.gz``."""
    unpacked: dict[str, list[str]] = {}
    for file in files:
        name = file.source_file.lower()
        ending = next(filter(name.endswith, ENDINGS))
        unpacked.setdefault(name.removesuffix(ending), []).append(file.source_file)
    return [
        f"{' and '.join(twins)} are each read: if one is another, packed, its rows stand in the "
        "datasets more than once (nobody is looked up twice); then remove one"
        for twins in unpacked.values()
        if len(twins) > 1
    ]


def _single_file(names_folder: UPath, day: str) -> Iterator[NamesFile]:
    for ending in ENDINGS:
        path = names_folder / f"{day}{ending}"
        if _is_file(path, path.name):
            yield NamesFile(path, path.name)


def _folder_files(names_folder: UPath, day: str) -> Iterator[NamesFile]:
    folder = names_folder / day
    if not folder.is_dir():
        if folder.is_symlink() and not folder.exists():
            raise UnreadableFile(day, 1, "a link to a folder that is not there", _MEND_LINK)
        return
    for path in csv_paths(folder):
        source_file = f"{day}/{path.name}"
        if _is_file(path, source_file):
            yield NamesFile(path, name_as_text(source_file))


def csv_paths(folder: UPath) -> Iterator[UPath]:
    """What in a date's folder bears the name of a file that is read, in no order."""
    return (path for path in folder.iterdir() if _is_csv(path.name))


def _is_csv(name: str) -> bool:
    return name.lower().endswith(ENDINGS) and not name.startswith(".")


def date_of(path: UPath) -> str | None:
    """The date to which a file belongs by its name and its folder's, if any."""
    day, _dot, ending = path.name.partition(".")
    if _is_date(day) and f".{ending}" in ENDINGS:
        return day
    day = path.parent.name
    return day if _is_date(day) and _is_csv(path.name) else None


def _content(folder: UPath) -> Iterable[UPath]:
    # An object store has no empty folders.
    return folder.iterdir() if folder.is_dir() else ()


def _is_date(text: str) -> bool:
    try:
        return dt.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def without_files(names_folder: UPath, lookup_date: str) -> str:
    """What is said of a date for which there is no file, with what nearly is one."""
    told = f"There is no CSV file of {lookup_date} in {names_folder}"
    folder = names_folder / lookup_date
    near = [f"{lookup_date}/{path.name}" for path in _content(folder)]
    near += [
        path.name
        for path in _content(names_folder)
        if path.name != lookup_date and path.name.replace("_", "-").startswith(lookup_date)
    ]
    if near:
        shown = ", ".join(map(printable, sorted(near)[:_MOST_SHOWN]))
        told += f" ({shown} {'is' if len(near) == 1 else 'are'} none)"
    return f"{told}: it is called {lookup_date}.csv, or lies in the folder {lookup_date}"


def name_as_text(source_file: str) -> str:
    """A name that datasets can hold: file systems take any bytes for one.

    Raises:
        UnreadableFile: The name is no text.
    """
    shown = printable(source_file)
    if shown != source_file:
        raise UnreadableFile(shown, 1, "its name is not UTF-8", _RENAME)
    return source_file


def printable(name: str) -> str:
    r"""A file's name, or what quotes it, with ``\x`` and two digits for bytes that are no text."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _is_file(path: UPath, source_file: str) -> bool:
    """Whether there is a file; an error where there is something else."""
    if not path.exists():
        if path.is_symlink():
            raise UnreadableFile(source_file, 1, "a link to a file that is not there", _MEND_LINK)
        return False
    if not path.is_file():
        problem = "a folder, not a CSV file" if path.is_dir() else "not a regular file"
        raise UnreadableFile(source_file, 1, problem, _PUT_FILE)
    return True
