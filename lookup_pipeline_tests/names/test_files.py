"""Which CSV files belong to a date."""

import datetime as dt
from pathlib import Path

from upath import UPath

from lookup_pipeline.names.files import find_files

DAY = dt.date(2026, 1, 6)


def put(folder: UPath, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("name,company\n")


def source_files(folder: UPath) -> list[str]:
    return [file.source_file for file in find_files(folder, DAY)]


def test_a_dates_own_file_and_the_files_of_its_folder_belong_to_it(tmp_path: Path) -> None:
    folder = UPath(str(tmp_path))
    put(folder, "2026-01-06/b.csv", "2026-01-06/a.csv", "2026-01-06.csv", "2026-01-07.csv")
    assert source_files(folder) == ["2026-01-06.csv", "2026-01-06/a.csv", "2026-01-06/b.csv"]


def test_other_files_hidden_files_and_deeper_folders_do_not_belong(tmp_path: Path) -> None:
    folder = UPath(str(tmp_path))
    put(folder, "2026-01-06/notes.txt", "2026-01-06/._a.csv", "2026-01-06/old/a.csv")
    put(folder, "2026-01-06/folder.csv/x.txt")
    assert source_files(folder) == []


def test_an_ending_in_capitals_is_an_ending(tmp_path: Path) -> None:
    folder = UPath(str(tmp_path))
    put(folder, "2026-01-06/EXPORT.CSV")
    assert source_files(folder) == ["2026-01-06/EXPORT.CSV"]


def test_a_missing_names_folder_has_no_files(tmp_path: Path) -> None:
    assert source_files(UPath(str(tmp_path / "nowhere"))) == []


def test_an_object_store_works_as_a_local_folder_does() -> None:
    folder = UPath("memory://find-files/names")
    assert source_files(folder) == []
    put(folder, "2026-01-06/a.csv", "2026-01-06.csv", "2026-01-05.csv")
    found = find_files(folder, DAY)
    assert [file.source_file for file in found] == ["2026-01-06.csv", "2026-01-06/a.csv"]
    assert found[1].path.read_text() == "name,company\n"
