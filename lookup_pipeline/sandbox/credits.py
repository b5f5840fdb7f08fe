"""Credits: what is allocated, what lookups in flight hold, what was spent."""

from collections import Counter

from lookup_pipeline.sandbox.answers import no_credits
from lookup_pipeline.sandbox.settings import SandboxSettings

UNIVERSAL = "universal"
# The provider names these as lookup types. Its contract has no names for the credits themselves:
# the account call shows the lookup types, or the names in the provider's texts.
CREDIT_TYPES = ("standard", "premium", "bulk", "phone", "enrich")
EXPORT = "person_export"


class Credits:
    """The account's credits by kind.

    A lookup holds what it may cost from the moment it is accepted; when it ends, what it found
    is spent and the rest is given back. What is held counts as used: otherwise a hundred lookups
    in flight could be accepted on the last credit.
    """

    def __init__(self) -> None:
        self._held: Counter[str] = Counter()
        self._spent: Counter[str] = Counter()

    def hold(self, settings: SandboxSettings, wanted: Counter[str]) -> None:
        """Set credits aside for lookups that begin, all of them or none.

        Raises:
            Refusal: 402, when the account has too few of a kind.
        """
        for credit_type, number in wanted.items():
            remaining = self._remaining(settings, credit_type)
            if settings.account_state == "no_credits" or (
                remaining is not None and remaining < number
            ):
                raise no_credits(credit_type)
        self._held.update(wanted)

    def settle(self, credit_type: str, *, held: int, spent: int) -> None:
        """End what `hold` began: so many were set aside, so many are spent."""
        self._held[credit_type] -= held
        self._spent[credit_type] += spent

    def usage(self, settings: SandboxSettings) -> list[dict[str, str | int]]:
        """The account call's `credit_usage`."""
        rows = [self.report(settings, kind) for kind in CREDIT_TYPES]
        if settings.credit_names == "lookup_type":
            return rows
        used = sum(map(self._used, CREDIT_TYPES))
        export: dict[str, str | int] = {
            "credit_type": EXPORT,
            "allocated": "inf",
            "used": used,
            "remaining": "inf",
        }
        return [export, *({**row, "credit_type": f"{row['credit_type']}_lookup"} for row in rows)]

    def report(self, settings: SandboxSettings, credit_type: str) -> dict[str, str | int]:
        """One row of the account call's `credit_usage`.

        `allocated` and `remaining` are integers, or the text `inf` where credits have no end:
        the contract's schema says integer, its description allows `inf`.
        """
        used = self._used(credit_type)
        remaining = self._remaining(settings, credit_type)
        if settings.account_state == "no_credits":
            return {
                "credit_type": credit_type,
                "allocated": used,
                "used": used,
                "remaining": 0,
            }
        return {
            "credit_type": credit_type,
            "allocated": "inf" if remaining is None else remaining + used,
            "used": used,
            "remaining": "inf" if remaining is None else remaining,
        }

    def _used(self, credit_type: str) -> int:
        return self._held[credit_type] + self._spent[credit_type]

    def _remaining(self, settings: SandboxSettings, credit_type: str) -> int | None:
        """Credits left, or None where they have no end."""
        allocated = settings.credits_by_type.get(credit_type, settings.credits)
        if allocated == "inf":
            return None
        return max(0, allocated - self._used(credit_type))
