"""Which CSV files belong to a date, and what is not taken for a day without one."""

import datetime as dt
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from upath import UPath

from lookup_pipeline.names.errors import MissingNamesFolder, UnreadableFile
from lookup_pipeline.names.files import date_of, find_files, packed_twins, without_files

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
    put(folder, "2026-01-06/.folder.csv/x.txt")
    assert source_files(folder) == []


def test_an_ending_in_capitals_is_an_ending(tmp_path: Path) -> None:
    folder = UPath(str(tmp_path))
    put(folder, "2026-01-06/EXPORT.CSV")
    assert source_files(folder) == ["2026-01-06/EXPORT.CSV"]


def test_packed_files_belong_to_a_date_as_others_do(tmp_path: Path) -> None:
    folder = UPath(str(tmp_path))
    put(folder, "2026-01-06.csv.gz", "2026-01-06.csv.zst", "2026-01-06/a.csv.GZ")
    put(folder, "2026-01-06/b.csv.zst", "2026-01-06/c.gz", "2026-01-06/.d.csv.gz")
    assert source_files(folder) == [
        "2026-01-06.csv.gz",
        "2026-01-06.csv.zst",
        "2026-01-06/a.csv.GZ",
        "2026-01-06/b.csv.zst",
    ]


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems hold text only")
def test_a_file_name_that_is_no_text_is_an_error_that_shows_it(tmp_path: Path) -> None:
    put(UPath(str(tmp_path)), "2026-01-06/a.csv", "2026-01-06/Gödel.csv")
    (tmp_path / "2026-01-06" / os.fsdecode(b"G\xf6del.csv")).touch()
    with pytest.raises(UnreadableFile) as raised:
        source_files(UPath(str(tmp_path)))
    assert str(raised.value) == (
        "2026-01-06/G\\xf6del.csv, line 1: its name is not UTF-8. "
        "To mend it: rename the file, with letters of ASCII to be safe."
    )


def test_a_file_beside_itself_packed_is_told(tmp_path: Path) -> None:
    folder = UPath(str(tmp_path))
    put(folder, "2026-01-06.csv", "2026-01-06.csv.gz", "2026-01-06/a.csv.gz")
    put(folder, "2026-01-06/b.csv.zst", "2026-01-06/b.CSV.GZ", "2026-01-06/2026-01-06.csv")
    packed, b = packed_twins(find_files(folder, DAY))
    assert packed.startswith("2026-01-06.csv and 2026-01-06.csv.gz are each read: ")
    assert b.startswith("2026-01-06/b.CSV.GZ and 2026-01-06/b.csv.zst are each read: ")


def test_a_date_without_a_file_is_told_with_what_nearly_is_one(tmp_path: Path) -> None:
    folder = UPath(str(tmp_path))
    assert without_files(folder, "2026-01-06") == (
        f"There is no CSV file of 2026-01-06 in {tmp_path}: "
        "it is called 2026-01-06.csv, or lies in the folder 2026-01-06"
    )
    put(folder, "2026-01-06.CSV", "2026_01_06.csv", "2026-01-06-leads.csv", "2026-01-07.csv")
    put(folder, "2026-01-06/a.tsv", "other/2026-01-06.csv")
    assert source_files(folder) == []
    assert (
        " (2026-01-06-leads.csv, 2026-01-06.CSV, 2026-01-06/a.tsv, 2026_01_06.csv are none): "
    ) in without_files(folder, "2026-01-06")


@pytest.mark.parametrize(
    ("file", "day"),
    [
        ("2026-01-06.csv", "2026-01-06"),
        ("2026-01-06.csv.zst", "2026-01-06"),
        ("2026-01-06/any name.CSV.gz", "2026-01-06"),
        ("2026-01-06.CSV", None),
        ("2026-02-30.csv", None),
        ("2026-01-06/a.tsv", None),
        ("2026-01-06/.hidden.csv", None),
        ("leads.csv", None),
    ],
)
def test_the_name_of_a_file_says_to_which_date_it_belongs(
    tmp_path: Path, file: str, day: str | None
) -> None:
    path = UPath(str(tmp_path)) / file
    assert date_of(path) == day
    put(UPath(str(tmp_path)), file)
    found = find_files(UPath(str(tmp_path)), DAY)
    assert [each.path for each in found] == ([path] if day else [])


def test_a_folder_without_a_file_of_the_date_has_none(tmp_path: Path) -> None:
    assert source_files(UPath(str(tmp_path))) == []


def test_links_to_files_and_folders_are_followed(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "names", tmp_path / "elsewhere"
    put(UPath(str(elsewhere)), "a.csv", "folder/b.csv")
    folder.mkdir()
    (folder / "2026-01-06.csv").symlink_to(elsewhere / "a.csv")
    (folder / "2026-01-06").symlink_to(elsewhere / "folder")
    assert source_files(UPath(str(folder))) == ["2026-01-06.csv", "2026-01-06/b.csv"]


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_missing_local_names_folder_is_an_error_with_its_variable_and_its_cure(
    tmp_path: Path, scheme: str
) -> None:
    missing, file = tmp_path / "nowhere", tmp_path / "file"
    file.touch()
    for folder in (missing, file):
        with pytest.raises(MissingNamesFolder) as raised:
            source_files(UPath(f"{scheme}{folder}"))
        told = str(raised.value)
        assert f"There is no names folder {folder}. " in told
        assert "To mend it: mount or create it, or set LOOKUP_PIPELINE_NAMES_URL" in told
        assert str(pickle.loads(pickle.dumps(raised.value))) == told


def a_folder(path: Path) -> None:
    path.mkdir()
    (path / "part-0.csv").touch()


def a_link_that_leads_nowhere(path: Path) -> None:
    path.symlink_to("not-mounted.csv")


def a_link_to_itself(path: Path) -> None:
    path.symlink_to(path)


def a_link_to_a_folder(path: Path) -> None:
    path.symlink_to(path.parent)


NO_FILES = {
    a_folder: "a folder, not a CSV file",
    a_link_to_a_folder: "a folder, not a CSV file",
    a_link_that_leads_nowhere: "a link to a file that is not there",
    a_link_to_itself: "a link to a file that is not there",
    os.mkfifo: "not a regular file",
}


@pytest.mark.parametrize("scheme", ["", "file://"])
@pytest.mark.parametrize("name", ["2026-01-06.csv", "2026-01-06.csv.gz", "2026-01-06/export.CSV"])
@pytest.mark.parametrize(("make", "problem"), NO_FILES.items())
def test_what_bears_a_files_name_and_is_none_is_an_error_and_not_a_day_without_a_file(
    tmp_path: Path, make: Callable[[Path], None], problem: str, name: str, scheme: str
) -> None:
    put(UPath(str(tmp_path)), "2026-01-06/good.csv")
    make(tmp_path / name)
    with pytest.raises(UnreadableFile) as raised:
        source_files(UPath(f"{scheme}{tmp_path}"))
    assert str(raised.value).startswith(f"{name}, line 1: {problem}. To mend it: ")
    assert "remove" in raised.value.cure


def test_a_dates_folder_that_is_a_link_to_nowhere_is_an_error(tmp_path: Path) -> None:
    put(UPath(str(tmp_path)), "2026-01-06.csv")
    (tmp_path / "2026-01-06").symlink_to("not-mounted")
    with pytest.raises(UnreadableFile, match="2026-01-06, line 1: a link to a folder that is not"):
        source_files(UPath(str(tmp_path)))


def test_what_stands_there_for_another_date_or_is_hidden_does_not_matter(tmp_path: Path) -> None:
    put(UPath(str(tmp_path)), "2026-01-06/a.csv")
    for name in ("2026-01-07.csv", "2026-01-06/.hidden.csv", "2026-01-06/notes.txt"):
        a_link_that_leads_nowhere(tmp_path / name)
    assert source_files(UPath(str(tmp_path))) == ["2026-01-06/a.csv"]


def test_an_object_store_works_as_a_local_folder_does() -> None:
    folder = UPath("memory://find-files/names")
    assert source_files(folder) == []
    put(folder, "2026-01-06/a.csv", "2026-01-06.csv", "2026-01-05.csv")
    found = find_files(folder, DAY)
    assert [file.source_file for file in found] == ["2026-01-06.csv", "2026-01-06/a.csv"]
    assert found[1].path.read_text() == "name,company\n"


def test_what_an_object_store_holds_below_a_files_name_is_an_error() -> None:
    folder = UPath("memory://find-no-file/names")
    put(folder, "2026-01-06.csv/part-0.csv")
    with pytest.raises(UnreadableFile, match=r"2026-01-06\.csv, line 1: a folder, not a CSV file"):
        source_files(folder)
