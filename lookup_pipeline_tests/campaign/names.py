"""The CSV files of a scenario: they grow, people stand in several, some rows are unusable."""

import csv
from collections.abc import Mapping
from pathlib import Path
from random import Random

from lookup_pipeline_tests.enrichment.pipeline import Person

# Of the rows that arrive: people already asked for, on any day, and rows without an employer, which
# nobody can be looked up by.
KNOWN_SHARE = 0.2
UNUSABLE_SHARE = 0.05

RowKey = tuple[str, int]
"""A row's file and line."""


def folded(text: str) -> str:
    """A text as it counts for who is meant: case and white space do not."""
    return " ".join(text.casefold().split())


def person_of(query: Mapping[str, str]) -> Person:
    """Whom a lookup means, by what was sent."""
    return folded(query["name"]), folded(query["current_employer"])


class Names:
    """Every row of every CSV file so far.

    Attributes:
        days: the dates that have a file.
        known_share: of the rows that arrive, those that ask for a person known already.
    """

    def __init__(self, folder: Path, days: tuple[str, ...], random: Random) -> None:
        self.days = days
        self.known_share = KNOWN_SHARE
        self._folder = folder
        self._random = random
        self._rows: dict[str, list[Person]] = {day: [] for day in days}
        self._known: list[Person] = []
        for day in days:
            self._write(day)

    def arrive(self, day: str, number: int) -> None:
        """Have so many more rows stand in a day's file."""
        self._rows[day] += [self._row() for _ in range(number)]
        self._write(day)

    def rows(self, day: str) -> dict[RowKey, str]:
        """The day's rows, and the name in each."""
        # The header is line 1, and no field holds a line break.
        lines = enumerate(self._rows[day], start=2)
        return {(f"{day}.csv", line): folded(name) for line, (name, _) in lines}

    @property
    def total(self) -> int:
        """How many rows there are."""
        return sum(map(len, self._rows.values()))

    def _row(self) -> Person:
        drawn = self._random.random()
        if self._known and drawn < self.known_share:
            name, employer = self._random.choice(self._known)
            return self._random.choice(
                [(name.upper(), employer), (name, employer.lower()), (f"  {name}", f"{employer} ")]
            )
        person = (f"Ada{len(self._known)} Byron", f"Employer {len(self._known)}")
        if drawn > 1 - UNUSABLE_SHARE:
            return person[0], ""
        self._known.append(person)
        return person

    def _write(self, day: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / f"{day}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["name", "current_employer"])
            writer.writerows(self._rows[day])
