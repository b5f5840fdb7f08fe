"""What the simulated provider knows: lookups under way and done, credits, limits, its log.

A *search* is the provider's work on one person; the lookups of that person share it. Whoever asks
for a person whose search is over is answered, and charged, at once: there is no idempotency.
"""

import hashlib
import heapq
import itertools
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from lookup_pipeline.sandbox.answers import encode
from lookup_pipeline.sandbox.clock import Clock
from lookup_pipeline.sandbox.credits import UNIVERSAL, Credits
from lookup_pipeline.sandbox.limits import Limits
from lookup_pipeline.sandbox.people import (
    CONTACT_REVEALS,
    EMAIL_FIELDS,
    Fate,
    Outcome,
    Person,
    View,
    encoded_profile,
    fate,
    invent,
    person_id,
    profile,
)
from lookup_pipeline.sandbox.queries import LookupQuery
from lookup_pipeline.sandbox.records import Charge, Delivery, RequestCounts, Submission
from lookup_pipeline.sandbox.settings import SandboxSettings, Webhook

_STAGES = ("waiting", "searching", "progress")
_UNHEARD_OF = "cross_checking"


class Origin(NamedTuple):
    """Where lookups come from, and where their results go.

    Attributes:
        operation: The operation they came by.
        request_id: The `RR-Request-ID` of its answer.
        universal: Whether universal credits pay for them.
        webhook: Where the results go, if anywhere.
    """

    operation: str
    request_id: str
    universal: bool
    webhook: Webhook | None


@dataclass(slots=True)
class Lookup:
    """One lookup that was accepted.

    Attributes:
        submission: The lookup as it stands in the log.
        query: What it asks.
        person: Whom it means, in its own spelling.
        reveals: The options of a universal lookup; None for the classic API.
        search: The provider's work on its person.
    """

    submission: Submission
    query: LookupQuery
    person: Person
    reveals: frozenset[str] | None
    search: "Search"

    @property
    def credit_type(self) -> str:
        """Which kind of credit it spends."""
        return self.query.credit_type if self.reveals is None else UNIVERSAL

    @property
    def most_credits(self) -> int:
        """What it may cost: one credit, or with universal credits one for each thing revealed."""
        return 1 if self.reveals is None else len(self.reveals)


@dataclass(slots=True)
class Search:
    """The provider's work on one person."""

    fate: Fate
    due_at: float
    polls: int = 0
    state: Literal["in flight", "complete", "failed"] = "in flight"
    lookups: list[Lookup] = field(default_factory=list)
    """Lookups that are paid for when the search ends."""
    latest: Lookup | None = None
    """The lookup whose spelling and options a status check answers with."""

    @property
    def status(self) -> str:
        """The status as the API gives it; only `complete` and `failed` are final."""
        if self.state != "in flight":
            return self.state
        if self.fate.unknown_status:
            return _UNHEARD_OF
        return _STAGES[min(self.fate.first_stage + self.polls, len(_STAGES) - 1)]


class Sandbox:
    """The whole state of one simulated provider.

    Attributes:
        settings: What it does now.
        clock: Its time.
        limits: The windows of its limits.
        credits: The account's credits.
        charges, submissions, deliveries: Its log, oldest first.
    """

    def __init__(self, settings: SandboxSettings) -> None:
        self.settings = settings
        self.reset()

    def reset(self) -> None:
        """Forget everything but the settings."""
        self.clock = Clock()
        self.limits = Limits(self.clock)
        self.credits = Credits()
        self.charges: list[Charge] = []
        self.submissions: list[Submission] = []
        self.deliveries: list[Delivery] = []
        self._requests_by_operation: Counter[str] = Counter()
        self._requests_by_answer: Counter[str] = Counter()
        self._violations = 0
        self._searches: dict[int, Search] = {}
        self._charged_lookups: Counter[int] = Counter()
        # Searches that need no poll: they end by time alone, seen or not.
        self._ending_by_time: list[tuple[float, int, Search]] = []
        self._ties = itertools.count()
        self._attempted_actions: Counter[str] = Counter()
        self._found_actions: Counter[str] = Counter()
        self._requests_numbered = 0

    # Counting ---------------------------------------------------------------------------------

    def count_request(self, operation: str, answer: str, *, violation: bool = False) -> None:
        """Note one request to the API and what became of it."""
        self._requests_by_operation[operation] += 1
        self._requests_by_answer[answer] += 1
        self._violations += violation

    def request_counts(self) -> RequestCounts:
        """How many requests came, and what they were answered."""
        return RequestCounts(
            by_operation=dict(self._requests_by_operation),
            by_answer=dict(self._requests_by_answer),
            violations=self._violations,
        )

    def next_request_id(self) -> str:
        """The next `RR-Request-ID`; the same row of ids for the same seed."""
        self._requests_numbered += 1
        text = f"{self.settings.seed}:{self._requests_numbered}"
        digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
        return str(uuid.UUID(bytes=digest, version=4))

    # Lookups ----------------------------------------------------------------------------------

    def submit(
        self, queries: list[LookupQuery], received: list[dict[str, Any]], origin: Origin
    ) -> list[Lookup]:
        """Accept lookups: all of them, or none when the credits don't suffice.

        Args:
            queries: What they ask.
            received: The same as it came in, for the log.
            origin: Where they come from.

        Raises:
            Refusal: 402, when the account has too few credits.
        """
        self.end_what_is_due()
        lookups = [
            self._prepare(query, raw, origin) for query, raw in zip(queries, received, strict=True)
        ]
        wanted: Counter[str] = Counter()
        for lookup in lookups:
            wanted[lookup.credit_type] += lookup.most_credits
        self.credits.hold(self.settings, wanted)
        for lookup in lookups:
            self._begin(lookup)
        return lookups

    def poll(self, profile_id: int) -> bytes | None:
        """One id of a status check: its profile as JSON, or None for an id nobody looked up."""
        search = self._searches.get(profile_id)
        if search is None or search.latest is None:
            return None
        if search.state == "in flight":
            search.polls += 1
            if search.polls >= search.fate.polls and self.clock.now() >= search.due_at:
                self._end(search)
        return self.profile_json(search.latest, with_metadata=False)

    def end_what_is_due(self) -> None:
        """End the searches that end by time alone."""
        now = self.clock.now()
        while self._ending_by_time and self._ending_by_time[0][0] <= now:
            self._end(heapq.heappop(self._ending_by_time)[2])

    def end(self, lookup: Lookup) -> None:
        """End a lookup's search whatever it waits for: its result is about to be delivered."""
        if lookup.search.fate.outcome is not Outcome.NOT_FOUND:
            self._end(lookup.search)

    def profile_json(
        self, lookup: Lookup, *, profile_list: str | None = None, with_metadata: bool = True
    ) -> bytes:
        """A lookup's profile as the API answers or delivers it now.

        Args:
            lookup: Which one.
            profile_list: Name of the list the profile was added to; deliveries carry it.
            with_metadata: With the caller's own data, which a status check does not return.
        """
        search, query = lookup.search, lookup.query
        person = lookup.person
        head: dict[str, Any] = {"id": person.id, "status": search.status}
        if profile_list is not None:
            number = int.from_bytes(hashlib.blake2b(profile_list.encode(), digest_size=3).digest())
            head["profile_list"] = {"id": number, "name": profile_list}
        if with_metadata and query.metadata is not None:
            head["metadata"] = query.metadata
        head["return_cached_emails"] = query.return_cached_emails
        if search.fate.outcome is Outcome.NOT_FOUND:
            # Only a bulk job's results can say so; there is no id to give.
            del head["id"]
            head["status"] = "failed"
        view = View(
            contact=search.fate.outcome is Outcome.FOUND,
            unknown_fields=search.fate.unknown_fields,
            reveals=lookup.reveals,
        )
        if search.state == "complete":
            # The costly part is encoded once a person; the lookup's own fields go before it.
            return encode(head)[:-1] + b"," + encoded_profile(person, view)[1:]
        head |= {
            "name": person.name,
            "current_employer": person.employer,
            "current_title": person.title,
        }
        if lookup.reveals is None:
            head |= dict.fromkeys(EMAIL_FIELDS) | {"emails": []}
            if search.status == "progress" and query.return_cached_emails:
                full = profile(person, view)
                head |= {name: full[name] for name in EMAIL_FIELDS}
        return encode(head)

    def universal_actions(self) -> dict[str, tuple[int, int]]:
        """Enrichments attempted and found, by the option of a universal lookup."""
        return {
            option: (number, self._found_actions[option])
            for option, number in self._attempted_actions.items()
        }

    def _prepare(self, query: LookupQuery, received: dict[str, Any], origin: Origin) -> Lookup:
        profile_id = person_id(self.settings.seed, query)
        search = self._searches.get(profile_id)
        if search and search.latest and query.id is not None:
            person = search.latest.person
        else:
            person = invent(self.settings.seed, profile_id, query)
        if search is None:
            now = self.clock.now()
            search = Search(
                fate=fate(self.settings, profile_id),
                due_at=now + self.settings.complete_after_seconds,
            )
        submission = Submission(
            at=self.clock.now(),
            operation=origin.operation,
            request_id=origin.request_id,
            query=received,
            profile_id=profile_id,
            outcome=search.fate.outcome.value,
        )
        reveals = query.reveals if origin.universal else None
        return Lookup(submission, query, person, reveals, search)

    def _begin(self, lookup: Lookup) -> None:
        search = lookup.search
        self.submissions.append(lookup.submission)
        self._attempted_actions.update(lookup.reveals or ())
        if search.fate.outcome is Outcome.NOT_FOUND:
            self.credits.settle(lookup.credit_type, held=lookup.most_credits, spent=0)
            return
        # Two queries of one bulk job can mean one person: the first search made is kept.
        search = lookup.search = self._searches.setdefault(lookup.person.id, search)
        is_new = search.latest is None
        search.latest = lookup
        search.lookups.append(lookup)
        if search.state != "in flight":
            self._end(search)
        elif is_new and search.fate.polls == 0:
            if search.due_at <= self.clock.now():
                self._end(search)
            else:
                heapq.heappush(self._ending_by_time, (search.due_at, next(self._ties), search))

    def _end(self, search: Search) -> None:
        """End a search, and settle every lookup that waits for it."""
        search.state = "failed" if search.fate.outcome is Outcome.FAILED else "complete"
        for lookup in search.lookups:
            spent = self._credits_for_what_was_found(lookup)
            self.credits.settle(lookup.credit_type, held=lookup.most_credits, spent=spent)
            if spent:
                self._charge(lookup, spent)
        search.lookups.clear()

    def _credits_for_what_was_found(self, lookup: Lookup) -> int:
        """What a lookup costs: nothing unless it found what it pays for."""
        outcome = lookup.search.fate.outcome
        if lookup.reveals is None:
            return 1 if outcome is Outcome.FOUND else 0
        if outcome is Outcome.FAILED:
            return 0
        found = set(lookup.reveals)
        if outcome is Outcome.WITHOUT_CONTACT:
            found -= CONTACT_REVEALS
        if lookup.person.npi_number is None:
            found.discard("reveal_healthcare_enrichment")
        self._found_actions.update(found)
        return len(found)

    def _charge(self, lookup: Lookup, spent: int) -> None:
        profile_id = lookup.person.id
        self._charged_lookups[profile_id] += 1
        self.charges.append(
            Charge(
                at=self.clock.now(),
                request_id=lookup.submission.request_id,
                profile_id=profile_id,
                query=lookup.submission.query,
                credit_type=lookup.credit_type,
                credits=spent,
                lookup_count=self._charged_lookups[profile_id],
            )
        )
