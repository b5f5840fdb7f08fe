"""The API under /api/v2: every operation, classic and universal.

A bare ASGI application: a benchmark shares its two processor cores with the sandbox, and routing
and request objects would cost more than the answers.
"""

import asyncio
import hmac
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple
from urllib.parse import unquote

import msgspec
from starlette.types import Receive, Scope, Send

from lookup_pipeline.sandbox.answers import (
    Answer,
    Refusal,
    encode,
    forbidden,
    malformed,
    not_found,
    server_error,
    unavailable,
    wrong_key,
)
from lookup_pipeline.sandbox.credits import UNIVERSAL
from lookup_pipeline.sandbox.faults import Fault, Faults, answer_instead, close_connection
from lookup_pipeline.sandbox.people import UNIVERSAL_ACTIONS, Outcome
from lookup_pipeline.sandbox.queries import bulk_queries, lookup_query, profile_ids
from lookup_pipeline.sandbox.settings import Webhook
from lookup_pipeline.sandbox.state import Origin, Sandbox
from lookup_pipeline.sandbox.webhooks import Parcel, WebhookSender

ROOT = "/api/v2"
_LIST_OF_SINGLE_LOOKUPS = "API Lookups"
_LIST_OF_BULK_LOOKUPS = "API Bulk Lookup"  # the default of the contract


class _Operation(NamedTuple):
    name: Literal["account", "lookup", "check_status", "bulk_lookup"]
    method: str
    universal: bool = False

    @property
    def title(self) -> str:
        """Its name in the log."""
        return f"universal_{self.name}" if self.universal else self.name

    @property
    def is_lookup(self) -> bool:
        """Whether it submits lookups: those spend credits and carry a request id."""
        return self.name in {"lookup", "bulk_lookup"}


_OPERATIONS = {
    f"{ROOT}/person/lookup": _Operation("lookup", "GET"),
    f"{ROOT}/person/checkStatus": _Operation("check_status", "GET"),
    f"{ROOT}/account": _Operation("account", "GET"),
    f"{ROOT}/bulkLookup": _Operation("bulk_lookup", "POST"),
    f"{ROOT}/universal/person/lookup": _Operation("lookup", "GET", universal=True),
    f"{ROOT}/universal/person/check_status": _Operation("check_status", "GET", universal=True),
    f"{ROOT}/universal/account": _Operation("account", "GET", universal=True),
    f"{ROOT}/universal/person/bulk_lookup": _Operation("bulk_lookup", "POST", universal=True),
}


class _Request(NamedTuple):
    operation: _Operation
    parameters: dict[str, list[str]]
    body: bytes
    request_id: str


class PeopleApi:
    """The provider's API as an ASGI application.

    Attributes:
        faults: The faults requests meet.
    """

    def __init__(self, sandbox: Sandbox, sender: WebhookSender) -> None:
        self._sandbox = sandbox
        self._sender = sender
        self.faults = Faults(sandbox.settings.seed)
        self._handlers: dict[str, Callable[[_Request], tuple[Answer, Parcel | None]]] = {
            "lookup": self._lookup,
            "check_status": self._check_status,
            "account": self._account,
            "bulk_lookup": self._bulk_lookup,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or meet the fault that is drawn for it."""
        sandbox = self._sandbox
        settings = sandbox.settings
        operation = _OPERATIONS.get(scope["path"].rstrip("/"))
        if operation is None:
            sandbox.count_request("unknown", "404")
            await _send(send, Answer(404, encode({"detail": "Not found."})))
            return
        if settings.latency_seconds:
            await asyncio.sleep(settings.latency_seconds)
        fault = self.faults.next(settings)
        if fault is Fault.DROP_BEFORE:
            sandbox.count_request(operation.title, "dropped_before")
            await close_connection(receive, after_what_was_sent=False)
            return
        violation = False
        try:
            answer = answer_instead(fault, settings) or await self._answer(
                operation, scope, receive
            )
        except Refusal as refusal:
            answer, violation = refusal.answer, refusal.violation
        if fault is Fault.ERROR_500_AFTER:
            answer = server_error()
        if fault is Fault.DROP_AFTER:
            sandbox.count_request(operation.title, "dropped_after", violation=violation)
            await close_connection(receive, after_what_was_sent=False)
        elif fault is Fault.CUT_BODY:
            sandbox.count_request(operation.title, "cut_body", violation=violation)
            await _send(send, answer, only_half=True)
            await close_connection(receive, after_what_was_sent=True)
        else:
            sandbox.count_request(operation.title, str(answer.status), violation=violation)
            await _send(send, answer)

    async def _answer(self, operation: _Operation, scope: Scope, receive: Receive) -> Answer:
        """Process one request.

        Raises:
            Refusal: When it is refused.
        """
        sandbox = self._sandbox
        body = await _body(receive) if scope["method"] == "POST" else b""
        request = _Request(
            operation,
            _parameters(scope["query_string"]),
            body,
            sandbox.next_request_id() if operation.is_lookup else "",
        )
        request_id_header = (b"rr-request-id", request.request_id.encode())
        try:
            self._check_admission(request, scope)
            answer, parcel = self._handlers[operation.name](request)
        except Refusal as refusal:
            if operation.is_lookup:
                headers = (*refusal.answer.headers, request_id_header)
                refusal.answer = refusal.answer._replace(headers=headers)
            raise
        if parcel is not None:
            if sandbox.settings.webhook_before_answer:
                await self._sender.deliver(parcel)
            else:
                self._sender.schedule(parcel)
        if operation.is_lookup:
            answer = answer._replace(headers=(*answer.headers, request_id_header))
        return answer

    def _check_admission(self, request: _Request, scope: Scope) -> None:
        """Refuse what never gets as far as the operation.

        Raises:
            Refusal: 401, 403, 405, 429 or 503.
        """
        settings = self._sandbox.settings
        operation = request.operation
        if settings.down:
            raise unavailable(settings.retry_after_seconds)
        key = next((value for name, value in scope["headers"] if name == b"api-key"), b"")
        right_key = hmac.compare_digest(key, settings.api_key.encode())
        if not right_key or settings.account_state == "revoked":
            raise wrong_key()
        self._sandbox.limits.count_request(settings)
        if scope["method"] != operation.method:
            raise Refusal(405, {"detail": f'Method "{scope["method"]}" not allowed.'})
        if settings.account_state == "forbidden" and operation.name != "account":
            raise forbidden()

    # The operations ---------------------------------------------------------------------------

    def _lookup(self, request: _Request) -> tuple[Answer, Parcel | None]:
        sandbox, operation = self._sandbox, request.operation
        received: dict[str, Any] = {name: values[-1] for name, values in request.parameters.items()}
        query = lookup_query(received)
        webhook = self._webhook(query.webhook_id)
        sandbox.limits.count_action(sandbox.settings, "person_lookup")
        (lookup,) = sandbox.submit(
            [query],
            [received],
            Origin(operation.title, request.request_id, operation.universal, webhook),
        )
        if lookup.search.fate.outcome is Outcome.NOT_FOUND:
            raise not_found()
        profile = sandbox.profile_json(lookup)
        answer = Answer(200, b"[" + profile + b"]" if sandbox.settings.lookup_as_list else profile)
        if webhook is None:
            return answer, None
        return answer, Parcel(
            webhook, request.request_id, [lookup], _LIST_OF_SINGLE_LOOKUPS, as_list=False
        )

    def _check_status(self, request: _Request) -> tuple[Answer, Parcel | None]:
        self._sandbox.end_what_is_due()
        ids = profile_ids(request.parameters.get("ids", []))
        profiles = filter(None, map(self._sandbox.poll, ids))
        return Answer(200, b"[" + b",".join(profiles) + b"]"), None

    def _bulk_lookup(self, request: _Request) -> tuple[Answer, Parcel | None]:
        sandbox, operation = self._sandbox, request.operation
        try:
            body = msgspec.json.decode(request.body)
        except msgspec.DecodeError as error:
            raise Refusal(400, {"detail": f"JSON parse error - {error}"}) from None
        # The universal twin asks for "up to 100" queries, the classic one for 10 to 100.
        queries, received = bulk_queries(body, least=1 if operation.universal else 10)
        webhook_id = body.get("webhook_id")
        if webhook_id is not None and not isinstance(webhook_id, int):
            raise malformed("webhook_id", "A valid integer is required.")
        webhook = self._webhook(webhook_id)
        if webhook is None:
            raise malformed("webhook_id", "A bulk lookup needs a webhook.")
        sandbox.limits.count_action(sandbox.settings, "bulk_lookup")
        lookups = sandbox.submit(
            queries,
            received,
            Origin(operation.title, request.request_id, operation.universal, webhook),
        )
        profile_list = str(body.get("profile_list") or _LIST_OF_BULK_LOOKUPS)
        answer = Answer(200, encode({"message": "Bulk lookup request accepted."}))
        return answer, Parcel(webhook, request.request_id, lookups, profile_list, as_list=True)

    def _account(self, request: _Request) -> tuple[Answer, Parcel | None]:
        sandbox = self._sandbox
        sandbox.end_what_is_due()
        account: dict[str, Any] = {
            "id": 100_001,
            "first_name": "Sandbox",
            "last_name": "User",
            "email": "sandbox@example.com",
            "state": "registered",
            "rate_limits": sandbox.limits.report(sandbox.settings),
        }
        if request.operation.universal:
            account |= self._universal_account()
        else:
            account["credit_usage"] = sandbox.credits.usage(sandbox.settings)
        return Answer(200, encode(account)), None

    def _universal_account(self) -> dict[str, Any]:
        sandbox = self._sandbox
        usage = sandbox.credits.report(sandbox.settings, UNIVERSAL)
        synced = datetime.fromtimestamp(sandbox.clock.now(), UTC).isoformat()
        return {
            "plan": {"id": 1, "name": sandbox.settings.plan},
            "api_key_domain": "*",
            "credit_usage": {
                "credits_allocated": usage["allocated"],
                "credits_used": usage["used"],
                "credits_remaining": usage["remaining"],
                "last_synced": synced,
            },
            "credit_usage_by_action": [
                {
                    "credit_action": UNIVERSAL_ACTIONS[option],
                    "attempted_count": attempted,
                    "succeeded_count": found,
                    "credits_used": found,
                    "last_synced": synced,
                }
                for option, (attempted, found) in sandbox.universal_actions().items()
            ],
        }

    def _webhook(self, webhook_id: int | None) -> Webhook | None:
        """The webhook of this id; without an id the top-most, if there is one.

        Raises:
            Refusal: 400, when no webhook has this id.
        """
        webhooks = self._sandbox.settings.webhooks
        if webhook_id is None:
            return webhooks[0] if webhooks else None
        for webhook in webhooks:
            if webhook.id == webhook_id:
                return webhook
        raise malformed("webhook_id", f"There is no webhook {webhook_id}.")


def _parameters(query_string: bytes) -> dict[str, list[str]]:
    """The parameters of a query string, at a fifth of what `urllib.parse.parse_qs` costs."""
    parameters: dict[str, list[str]] = {}
    for pair in query_string.decode("latin-1").replace("+", " ").split("&"):
        name, _, value = pair.partition("=")
        if name:
            decoded = unquote(value) if "%" in value else value
            parameters.setdefault(unquote(name) if "%" in name else name, []).append(decoded)
    return parameters


async def _body(receive: Receive) -> bytes:
    parts = []
    more = True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


async def _send(send: Send, answer: Answer, *, only_half: bool = False) -> None:
    """Send an answer; with `only_half`, promise all of it and keep back the second half."""
    length = (b"content-length", str(len(answer.body)).encode())
    headers = [*answer.headers, length]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    body = answer.body[: len(answer.body) // 2] if only_half else answer.body
    await send({"type": "http.response.body", "body": body, "more_body": only_half})
