"""Puts the sandbox together: the API, the control endpoints, the webhooks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from lookup_pipeline.sandbox.api import ROOT, PeopleApi
from lookup_pipeline.sandbox.control import answer_mistake, control_routes
from lookup_pipeline.sandbox.settings import SandboxSettings
from lookup_pipeline.sandbox.state import Sandbox
from lookup_pipeline.sandbox.webhooks import WebhookSender


class _Application(Starlette):
    """Starlette for the control endpoints, with a way past its routing for the API.

    The way costs 10 microseconds a request instead of 40, on a lookup's 250.
    """

    api: PeopleApi

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(ROOT):
            await self.api(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def create_app(settings: SandboxSettings) -> Starlette:
    """One simulated provider, with a state of its own.

    Args:
        settings: What it does at first; `PATCH /sandbox/settings` changes it later.
    """
    sandbox = Sandbox(settings)
    sender = WebhookSender(sandbox)
    api = PeopleApi(sandbox, sender)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with sender.running():
            yield

    application = _Application(
        routes=control_routes(sandbox, sender, api),
        exception_handlers={msgspec.MsgspecError: answer_mistake},
        lifespan=lifespan,
    )
    application.api = api
    return application
