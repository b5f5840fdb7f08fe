"""What the API answers, as far as following a lookup needs it.

Only the head of a profile is decoded here: msgspec reads id, status and whether there is contact
data some six times faster than the standard library decodes the whole. The profile's own bytes
are kept as they came and decoded once, when they are published.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated

import msgspec

COMPLETE = "complete"
FAILED = "failed"
NOT_QUEUED = "not queued"
KNOWN_STATUSES = frozenset(
    {COMPLETE, FAILED, "waiting", "searching", "progress", NOT_QUEUED, "queued"}
)
"""Statuses the provider's texts name. Any other means in flight too, and is reported."""


class ProfileHead(msgspec.Struct):
    """The part of a profile object that says where its lookup stands."""

    # As wide as the ledger's column and the published one.
    id: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] | None = None
    status: str | None = None
    emails: list[msgspec.Raw] | None = None
    phones: list[msgspec.Raw] | None = None

    @property
    def has_contact_data(self) -> bool:
        """Whether it holds contact data: such a lookup costs a credit, any other is free."""
        return bool(self.emails) or bool(self.phones)


@dataclass(frozen=True, slots=True)
class StatusAnswer:
    """Where one lookup stands, by a poll or by the lookup call itself.

    Attributes:
        profile_id: the provider's id; None when it gave none.
        status: as received; empty when it gave none.
        has_contact_data: whether emails or phones are there.
        payload: the profile object's JSON, byte for byte.
    """

    profile_id: int | None
    status: str
    has_contact_data: bool
    payload: bytes


@dataclass(frozen=True, slots=True)
class LookupAnswer:
    """The answer to a submitted lookup.

    Attributes:
        head: where it stands.
        request_id: `RR-Request-ID`, which comes back on the webhook.
    """

    head: StatusAnswer
    request_id: str | None


class CreditUsage(msgspec.Struct, frozen=True):
    """Credits of one kind; `inf` where the plan has no end of them."""

    credit_type: str = ""
    allocated: float | str | None = None
    used: float | str | None = None
    remaining: float | str | None = None


class RateLimit(msgspec.Struct, frozen=True):
    """One window of one operation; no limit and nothing remaining where the plan has none."""

    action: str = ""
    duration: str = ""
    limit: float | str | None = None
    used: float | str | None = None
    remaining: float | str | None = None


class Account(msgspec.Struct, frozen=True):
    """What the account may still spend, and how fast."""

    credit_usage: list[CreditUsage] = []
    rate_limits: list[RateLimit] = []


_account = msgspec.json.Decoder(Account)
_head = msgspec.json.Decoder(ProfileHead)
_objects = msgspec.json.Decoder(list[msgspec.Raw])


def decode_account(body: bytes) -> Account:
    """The account call's answer.

    Raises:
        msgspec.DecodeError: it is not JSON, or not of that shape.
    """
    return _account.decode(body)


def decode_lookup(body: bytes) -> StatusAnswer:
    """The lookup call's answer: an object, or (as the provider's prose shows it) a list of one.

    Raises:
        msgspec.DecodeError: it is neither.
    """
    objects = split(body) if body.lstrip()[:1] == b"[" else [msgspec.Raw(body)]
    if len(objects) != 1:
        raise msgspec.ValidationError(f"expected one profile, got {len(objects)}")
    return _status(objects[0])


def decode_statuses(body: bytes) -> Sequence[StatusAnswer]:
    """The status call's answer: any number of profile objects.

    An entry that can't be read is left out, like an id that the provider does not know: it must
    not hide the others, and its lookup is asked about again.

    Raises:
        msgspec.DecodeError: it is not JSON, or not a list.
    """
    answers = []
    for entry in split(body):
        with suppress(msgspec.DecodeError, RecursionError):
            answers.append(_status(entry))
    return answers


def split(body: bytes) -> list[msgspec.Raw]:
    """A JSON array's entries, undecoded."""
    return _objects.decode(body)


def _status(entry: msgspec.Raw) -> StatusAnswer:
    payload = bytes(entry)
    head = _head.decode(payload)
    return StatusAnswer(head.id, head.status or "", head.has_contact_data, payload)
