"""Delivers results to webhooks: signed, in the background, when their time has come."""

import asyncio
import base64
import contextlib
import hashlib
import heapq
import hmac
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from lookup_pipeline.sandbox.people import chance
from lookup_pipeline.sandbox.records import Delivery
from lookup_pipeline.sandbox.settings import Webhook
from lookup_pipeline.sandbox.state import Lookup, Sandbox

# How long a receiver may take to answer, and how many are talked to at once. The provider's
# figures are not published; httpx slows down above some five connections a client.
_TIMEOUT_SECONDS = 10
_AT_ONCE = 5


@dataclass(slots=True)
class Parcel:
    """What one delivery carries: one lookup's profile, or a list of a bulk job's.

    Attributes:
        webhook: Where it goes.
        request_id: The `RR-Request-ID` of the lookup or the bulk job.
        lookups: What was looked up.
        profile_list: Name of the list the profiles were added to.
        as_list: A bulk job's results are a list, also of one.
    """

    webhook: Webhook
    request_id: str
    lookups: list[Lookup]
    profile_list: str
    as_list: bool


def signature(body: bytes, secret: str) -> str:
    """The `X-RocketReach-Signature` of a body: base64 of its HMAC-SHA256 under the secret."""
    return base64.b64encode(hmac.digest(secret.encode(), body, hashlib.sha256)).decode()


class WebhookSender:
    """Sends parcels when they are due, each of them once: no repetition on failure.

    The provider publishes no policy of repeating; a receiver that was away has lost the delivery.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._waiting: list[tuple[float, int, Parcel]] = []
        self._ties = itertools.count()
        self._changed = asyncio.Event()
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._sending: set[asyncio.Task[None]] = set()
        # Receivers are on this machine: a proxy set in the environment is not meant for them.
        self._client = httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, trust_env=False)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Deliver in the background while the application runs."""
        worker = asyncio.create_task(self._work())
        try:
            yield
        finally:
            for task in (worker, *self._sending):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await worker
            await self._client.aclose()

    def schedule(self, parcel: Parcel) -> None:
        """Deliver a parcel once `complete_after_seconds` are over."""
        due_at = self._sandbox.clock.now() + self._sandbox.settings.complete_after_seconds
        heapq.heappush(self._waiting, (due_at, next(self._ties), parcel))
        self._changed.set()

    def look_again(self) -> None:
        """The clock was moved: something may be due."""
        self._changed.set()

    def forget(self) -> None:
        """Deliver nothing that was scheduled up to now."""
        self._waiting.clear()

    async def deliver(self, parcel: Parcel) -> None:
        """Send a parcel now, unless it is one of those that are lost; note what became of it."""
        settings = self._sandbox.settings
        for lookup in parcel.lookups:
            self._sandbox.end(lookup)
        profiles = [
            self._sandbox.profile_json(lookup, profile_list=parcel.profile_list)
            for lookup in parcel.lookups
        ]
        body = b"[" + b",".join(profiles) + b"]" if parcel.as_list else profiles[0]
        if chance(settings.seed, "lost", parcel.request_id) < settings.webhook_lost:
            self._note(parcel, None)
            return
        twice = chance(settings.seed, "repeated", parcel.request_id) < settings.webhook_repeated
        for _ in range(2 if twice else 1):
            self._note(parcel, await self._post(parcel, body))

    async def _work(self) -> None:
        while True:
            self._changed.clear()
            now = self._sandbox.clock.now()
            while self._waiting and self._waiting[0][0] <= now:
                task = asyncio.create_task(self._deliver_in_turn(heapq.heappop(self._waiting)[2]))
                self._sending.add(task)
                task.add_done_callback(self._sending.discard)
            seconds = self._waiting[0][0] - now if self._waiting else None
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), seconds)

    async def _deliver_in_turn(self, parcel: Parcel) -> None:
        async with self._places:
            await self.deliver(parcel)

    async def _post(self, parcel: Parcel, body: bytes) -> int | None:
        headers = {"Content-Type": "application/json", "RR-Request-ID": parcel.request_id}
        if parcel.webhook.secret is not None:
            headers["X-RocketReach-Signature"] = signature(body, parcel.webhook.secret)
        try:
            answer = await self._client.post(parcel.webhook.url, content=body, headers=headers)
        except httpx.HTTPError:
            return None
        return answer.status_code

    def _note(self, parcel: Parcel, answer: int | None) -> None:
        self._sandbox.deliveries.append(
            Delivery(
                at=self._sandbox.clock.now(),
                request_id=parcel.request_id,
                webhook_id=parcel.webhook.id,
                profiles=len(parcel.lookups),
                answer=answer,
            )
        )
