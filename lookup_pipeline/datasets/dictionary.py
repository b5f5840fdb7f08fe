"""The data dictionary in docs: written from the one table of datasets.

`python -m lookup_pipeline.datasets.dictionary` writes it; `--check` says whether it is current.
"""

import argparse
import sys
from pathlib import Path

from lookup_pipeline.datasets.columns import DATASETS, Dataset

PATH = Path(__file__).parents[2] / "docs" / "data-dictionary.md"

_HEAD = """\
# Data dictionary

Written by `make docs` from `lookup_pipeline/datasets/columns.py`; change it there.

Every dataset is a folder of Parquet files in Hive layout, one file a date:
`<output>/<dataset>/lookup_date=YYYY-MM-DD/part-0.parquet`. `lookup_date`, the date of the names
file, is in the path: readers that know Hive layout show it as a further column. Types are the same
in every file, also where a file has no rows.
"""


def dictionary() -> str:
    """The whole document."""
    return "\n".join([_HEAD, *map(_section, DATASETS)])


def _section(dataset: Dataset) -> str:
    rows = (
        f"| `{column.name}` | `{column.type}` | {'yes' if column.nullable else 'no'} "
        f"| {column.description} |"
        for column in dataset.columns
    )
    return "\n".join(
        [
            f"## `{dataset.name}`",
            "",
            dataset.description,
            "",
            "| column | type | null | meaning |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


def main() -> int:
    """Write the document, or check it; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say whether it is current")
    if not parser.parse_args().check:
        PATH.write_text(dictionary(), encoding="utf-8")
        return 0
    if PATH.exists() and PATH.read_text(encoding="utf-8") == dictionary():
        return 0
    sys.stderr.write(f"{PATH.name} is not current: run `make docs`.\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
