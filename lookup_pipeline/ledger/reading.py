"""Whether a row is the one it was, with its columns read otherwise."""

from collections.abc import Mapping

import msgspec

# What says who is meant, beside the identifiers: another text there is another person.
_NAME = "requested_name"
_SAME = ("requested_employer", "requested_title")


def is_read_anew(before: str, now: str) -> bool:
    """Whether two rows' JSON texts come of one row, of which other columns are read now.

    A column that was carried through says whom to ask for; what it takes the place of is carried
    through instead. Every value that both carry through is the same, and every one that is asked by
    now, or no longer, stands on the other side. The name may have gained words, and an identifier
    takes the place of another only beside a name: else it may be another person.
    """
    old, new = msgspec.json.decode(before), msgspec.json.decode(now)
    carried, carries = old.pop("source_columns", {}), new.pop("source_columns", {})
    if any(carried[header] != carries[header] for header in carried.keys() & carries.keys()):
        return False
    taken_up, let_go = _values(carried, carries), _values(carries, carried)
    if not taken_up:
        return False
    old_name, name = (each.pop(_NAME, None) or "" for each in (old, new))
    # Of what was asked by, only identifiers may go, and only beside a name.
    may_go = let_go if old_name else set()
    return _is_name_again(old_name.split(), name.split(), taken_up) and all(
        old.get(field) == new.get(field)
        or (
            new.get(field) in {None, *taken_up}
            and old.get(field) in {None, *(() if field in _SAME else may_go)}
        )
        for field in old.keys() | new.keys()
    )


def _is_name_again(old: list[str], new: list[str], taken_up: set[str]) -> bool:
    """Whether a name is the one that it was, or has gained words of columns that are read now."""
    gained = set(new).difference(old)
    return set(old).issubset(new) and gained.issubset(
        word for each in taken_up for word in each.split()
    )


def _values(here: Mapping[str, str], there: Mapping[str, str]) -> set[str]:
    """Return what columns say that are carried through here only."""
    return {here[header].strip() for header in here.keys() - there.keys()} - {""}
