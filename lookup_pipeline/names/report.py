"""What was found out about a names file while it was read."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lookup_pipeline.names.encoding import Encoding
from lookup_pipeline.names.layout import DELIMITERS, Layout

# Below it a guess is told as a warning: about one in ten would be wrong.
_DOUBTFUL = 0.9

# Enough to find the first ones by.
_MOST_LINES = 20


@dataclass(slots=True)
class FileReport:
    """How a file was read; the counts grow until its last row.

    Attributes:
        source_file: Its path below the names folder.
        compression: ``none``, ``gzip`` or ``zstd``.
        encoding: What it is written in.
        layout: Its delimiter, header row and columns.
        usable: Rows that can be looked up.
        rejected: Rows that cannot.
        damaged: Those of them with NULs or undecodable bytes.
        counting_ids: Whether the first ids of the file seem to be numbers of rows.
        swallowing: Lines of rows with a field that seems to hold other rows.
        other_headers: Lines of further header rows whose columns are others.
        unread: Columns that hold identifiers but are not read, with the field they would be.
        shared: Lines of rows that share an identifier with a row of another name.
    """

    source_file: str
    compression: str
    encoding: Encoding
    layout: Layout
    usable: int = 0
    rejected: int = 0
    damaged: int = 0
    counting_ids: bool = False
    swallowing: list[int] = field(default_factory=list)
    other_headers: list[int] = field(default_factory=list)
    unread: list[tuple[str, str]] = field(default_factory=list)
    shared: list[int] = field(default_factory=list)

    @property
    def delimiter(self) -> str:
        """The delimiter's name, or itself where it has none here."""
        return DELIMITERS.get(self.layout.delimiter, self.layout.delimiter)

    def facts(self) -> dict[str, Any]:
        """What was detected, as plain values for the UI and for JSON."""
        return {
            "file": self.source_file,
            "compression": self.compression,
            "encoding": self.encoding.label,
            "encoding_confidence": self.encoding.confidence,
            "delimiter": self.delimiter,
            "delimiter_confidence": self.layout.confidence,
            "title_lines": len(self.layout.title_lines),
            "header_line": self.layout.header_line,
            "rows_usable": self.usable,
            "rows_rejected": self.rejected,
        }

    def warnings(self) -> list[str]:
        """What somebody should look at, in plain words and without any of the file's content."""
        found = []
        if self.encoding.confidence < _DOUBTFUL:
            other = f"; {self.encoding.rival} would do as well" if self.encoding.rival else ""
            found.append(
                f"read as {self.encoding.label}, which is a guess (confidence "
                f"{self.encoding.confidence:.2f}{other}): look at names with accents, or save the "
                "file as UTF-8"
            )
        if self.layout.confidence < _DOUBTFUL:
            found.append(
                f"fields seem to be separated by a {self.delimiter} (confidence "
                f"{self.layout.confidence:.2f})"
            )
        if self.layout.title_lines:
            found.append(
                f"what stands on {_on(self.layout.title_lines)}, above the header row on line "
                f"{self.layout.header_line}, was taken for a title and left out"
            )
        if self.swallowing:
            found.append(
                f"a quoted field of the row on {_on(self.swallowing)} runs over lines that look "
                "like rows of their own: look for quotation marks that do not belong there"
            )
        if self.other_headers:
            found.append(
                f"there is a header row of other columns on {_on(self.other_headers)}: the rows "
                "below it were read by the first header row. Make a file of its own of them"
            )
        found += [
            f"the column {header!r} seems to hold what {field} is for, and is not read: rename it "
            f"to {field} if it is the person's"
            for header, field in self.unread
        ]
        if self.shared:
            found.append(
                "rows share an identifier with a row of another name, and are taken for the same "
                f"person: see {_on(self.shared)}"
            )
        if self.damaged:
            found.append(
                f"rows with NUL characters, or bytes that are not {self.encoding.label}: "
                f"{self.damaged}, which were rejected"
            )
        if self.counting_ids:
            found.append(
                "the id column seems to count: are these the provider's profile ids, or the "
                "numbers of rows? Rename the column if they are the latter, or strangers are "
                "looked up"
            )
        return [f"{self.source_file}: {each}" for each in found]


def _on(lines: Sequence[int]) -> str:
    """Where that is: the first lines, and how many more."""
    first = ", ".join(map(str, lines[:_MOST_LINES]))
    more = f" and {len(lines) - _MOST_LINES} more" if len(lines) > _MOST_LINES else ""
    return f"line{'s' * (len(lines) > 1)} {first}{more}"
