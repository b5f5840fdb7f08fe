"""docs/input.md says what the code does: its tables are checked against the code's lists."""

import ast
import re
from pathlib import Path

import pytest

from lookup_pipeline.names.column_names import ALIASES, LAST_RESORTS, PARTS
from lookup_pipeline.names.header import read_header
from lookup_pipeline.names.layout import DELIMITERS
from lookup_pipeline.names.rules import NAMES_SOMEBODY, ROW_RULES, VALUE_RULES

HERE = Path(__file__).parent
DOCUMENT = (HERE.parents[1] / "docs" / "input.md").read_text(encoding="utf-8")
NAMED_TEST = re.compile(r"`(test_\w+\.py)::(test_\w+)`")


def section(title: str) -> str:
    """The text below a heading, up to the next one."""
    _above, found, below = DOCUMENT.partition(f"\n## {title}\n")
    assert found, f"docs/input.md has no section {title}"
    return below.split("\n## ")[0]


def table(title: str) -> list[list[str]]:
    """The cells of a section's table, without its two header lines."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def in_code(cell: str) -> set[str]:
    return set(re.findall("`([^`]+)`", cell))


def test_every_test_that_the_document_names_exists() -> None:
    tests = {
        (path.name, node.name)
        for path in HERE.glob("test_*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
    }
    named = set(NAMED_TEST.findall(DOCUMENT))
    assert len(named) > 40
    assert named <= tests


def test_every_mess_in_the_table_has_a_test() -> None:
    rows = table("What happens to a mess")
    assert len(rows) > 40
    for mess, _what_happens, shown_by in rows:
        assert NAMED_TEST.fullmatch(shown_by), f"{mess}: {shown_by}"


def test_the_columns_in_the_document_are_the_aliases() -> None:
    columns = {cells[0]: cells[1:] for cells in table("Columns")}
    assert set(columns) == {f"`{field}`" for field in ALIASES} | set(PARTS)
    for field, names in ALIASES.items():
        main, last_resort = columns[f"`{field}`"]
        assert in_code(main) == set(names), field
        assert in_code(last_resort) == set(LAST_RESORTS.get(field, ())), field
    for part, names in PARTS.items():
        assert in_code(columns[part][0]) == set(names), part


def test_every_column_of_the_exports_is_known() -> None:
    exports = table("Exports")
    assert len(exports) > 10
    for product, columns in exports:
        named = in_code(columns)
        assert named, product
        for column in named:
            header = read_header([column, "first name", "last name"])
            assert header is not None
            assert header.meanings()[0][1] != "carried through", f"{product}: {column}"


def test_the_rules_in_the_document_are_the_rules() -> None:
    rules = {(cells[0], cells[1], cells[2]) for cells in table("Rules")}
    assert rules == {
        *((f"`{rule.field}`", rule.rule, rule.complaint) for rule in VALUE_RULES),
        *(("row", rule.rule, rule.complaint) for rule in (*ROW_RULES, NAMES_SOMEBODY)),
    }


@pytest.mark.parametrize("delimiter", DELIMITERS.values())
def test_the_document_names_every_delimiter(delimiter: str) -> None:
    assert delimiter in section("Files")


@pytest.mark.parametrize(
    "encoding", ["UTF-8", "UTF-16", "UTF-32", "Windows-1252", "Mac Roman", "byte order mark"]
)
def test_the_document_names_every_encoding(encoding: str) -> None:
    assert encoding in section("Files")
