"""Endpoints outside the API by which a test looks into the sandbox and changes it."""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lookup_pipeline.sandbox.answers import encode
from lookup_pipeline.sandbox.api import PeopleApi
from lookup_pipeline.sandbox.faults import Faults
from lookup_pipeline.sandbox.settings import SandboxSettings
from lookup_pipeline.sandbox.state import Sandbox
from lookup_pipeline.sandbox.webhooks import WebhookSender

ROOT = "/sandbox"


class _ClockChange(msgspec.Struct, forbid_unknown_fields=True):
    advance_seconds: float


def control_routes(sandbox: Sandbox, sender: WebhookSender, api: PeopleApi) -> list[Route]:
    """The control endpoints of one sandbox. They need no key and meet no fault."""

    async def charges(_: Request) -> Response:
        sandbox.end_what_is_due()
        return _json(sandbox.charges)

    async def lookups(_: Request) -> Response:
        return _json(sandbox.submissions)

    async def deliveries(_: Request) -> Response:
        return _json(sandbox.deliveries)

    async def requests(_: Request) -> Response:
        return _json(sandbox.request_counts())

    async def settings(request: Request) -> Response:
        if request.method == "PATCH":
            sandbox.settings = _changed(sandbox.settings, await request.body())
        return _json(sandbox.settings)

    async def reset(request: Request) -> Response:
        """Forget everything; a body replaces the settings, what it leaves out by the default."""
        body = await request.body()
        if body:
            sandbox.settings = _changed(SandboxSettings(), body)
        sandbox.reset()
        sender.forget()
        api.faults = Faults(sandbox.settings.seed)
        return _json(sandbox.settings)

    async def clock(request: Request) -> Response:
        if request.method == "POST":
            change = msgspec.json.decode(await request.body(), type=_ClockChange)
            sandbox.clock.advance(change.advance_seconds)
            sender.look_again()
        return _json({"now": sandbox.clock.now()})

    return [
        Route(f"{ROOT}/charges", charges),
        Route(f"{ROOT}/lookups", lookups),
        Route(f"{ROOT}/deliveries", deliveries),
        Route(f"{ROOT}/requests", requests),
        Route(f"{ROOT}/settings", settings, methods=["GET", "PATCH"]),
        Route(f"{ROOT}/reset", reset, methods=["POST"]),
        Route(f"{ROOT}/clock", clock, methods=["GET", "POST"]),
    ]


async def answer_mistake(_: Request, error: Exception) -> Response:
    """400 for a body that is no JSON or no known setting, with what is wrong."""
    return _json({"detail": str(error)}, status=400)


def _changed(settings: SandboxSettings, body: bytes) -> SandboxSettings:
    """The settings with the fields of a JSON object in the place of theirs.

    Raises:
        msgspec.MsgspecError: When a field is unknown or out of range.
    """
    fields = msgspec.to_builtins(settings) | msgspec.json.decode(body, type=dict[str, Any])
    return msgspec.convert(fields, SandboxSettings)


def _json(content: Any, status: int = 200) -> Response:
    return Response(encode(content), status, media_type="application/json")
