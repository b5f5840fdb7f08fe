"""The command `sandbox`: serves the simulated API until it is interrupted."""

import contextlib
import gc
import os
import shlex
import socket
import sys
import threading
from typing import Any

import click
import msgspec
import uvicorn

from lookup_pipeline.sandbox.api import ROOT
from lookup_pipeline.sandbox.server import create_app
from lookup_pipeline.sandbox.settings import SandboxSettings

DEFAULT_PORT = 8787


def _setting_options() -> list[click.Parameter]:
    """One option for each setting, from its name, type, default and description."""
    schema = msgspec.json.schema(SandboxSettings)["$defs"]["SandboxSettings"]["properties"]
    options: list[click.Parameter] = []
    for name, about in schema.items():
        default = about["default"]
        repeated = isinstance(default, list | tuple | dict)
        text = about["description"]
        if not repeated:
            text += f"  [default: {default}]"
        flag = isinstance(default, bool)
        options.append(
            click.Option(
                [f"--{'webhook' if name == 'webhooks' else name.replace('_', '-')}", name],
                help=text,
                is_flag=flag,
                # Not given means None: the settings keep their own defaults.
                default=None,
                multiple=repeated,
                type=click.Choice(about["enum"]) if "enum" in about else None,
                metavar=None if flag or "enum" in about else _metavar(name, default),
            )
        )
    return options


def _metavar(name: str, default: Any) -> str:
    if name == "webhooks":
        return "ID=URL[,SECRET]"
    if name == "credits_by_type":
        return "KIND=NUMBER"
    return "TEXT" if isinstance(default, str) else "NUMBER"


def _settings(options: dict[str, Any]) -> SandboxSettings:
    """The settings from the command line's texts.

    Raises:
        click.UsageError: When one is out of range or cannot be read.
    """
    given = {name: value for name, value in options.items() if value not in (None, ())}
    # Reading numbers from text, msgspec takes "inf" for a broken number, not for the word.
    without_end = given.get("credits") == "inf"
    if without_end:
        del given["credits"]
    try:
        if "webhooks" in given:
            given["webhooks"] = [_webhook(text) for text in given["webhooks"]]
        if "credits_by_type" in given:
            given["credits_by_type"] = dict(_pair(text) for text in given["credits_by_type"])
        settings = msgspec.convert(given, SandboxSettings, strict=False)
        return msgspec.structs.replace(settings, credits="inf") if without_end else settings
    except msgspec.ValidationError as error:
        raise click.UsageError(str(error)) from None


def _webhook(text: str) -> dict[str, str]:
    number, rest = _pair(text)
    url, comma, secret = rest.partition(",")
    return {"id": number, "url": url} | ({"secret": secret} if comma else {})


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"{text!r} has no '=': give it as NAME=VALUE.")
    return key, value


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket, taken before anything is printed.

    Raises:
        click.ClickException: When the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio switches Nagle's delay of small answers off.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    # A sandbox that has just ended does not keep its port from the next; on Windows the option
    # means something else, and would let two programs share it.
    if sys.platform != "win32":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)  # connections that may wait while all are busy: uvicorn's own number
    except OSError as error:
        listener.close()
        raise click.ClickException(
            f"Cannot listen on {host} port {port}: {error.strerror}. Another program (or another "
            "sandbox) may be using it: give another --port, or --port 0 for any that is free."
        ) from None
    return listener


def _stop_when_input_ends(server: uvicorn.Server) -> None:
    """Stop a server whose standard input is at its end: whoever started it is gone."""
    # Not through sys.stdin: Python can't end while a thread waits in there.
    descriptor = sys.stdin.fileno()

    def wait() -> None:
        while os.read(descriptor, 4096):
            pass
        server.should_exit = True

    threading.Thread(target=wait, daemon=True).start()


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _how_to_use(base_url: str, api_key: str) -> str:
    """What a shell takes to send the pipeline here, in the project's folder."""
    folder = "data/simulated"
    exports = {
        "ROCKETREACH_BASE_URL": shlex.quote(base_url),
        "ROCKETREACH_API_KEY": shlex.quote(api_key),
        "ROCKETREACH_REQUESTS_PER_SECOND": "0",
        "LOOKUP_PIPELINE_OUTPUT_URL": f"{folder}/output",
        "LOOKUP_PIPELINE_LEDGER_URL": f"sqlite:///{folder}/ledger.db",
        "DAGSTER_HOME": f'"$PWD/{folder}/dagster"',
    }
    return (
        "To send the pipeline there, in the project's folder and without a .env file (it would "
        "win):\n\n"
        + "".join(f"  export {name}={value}\n" for name, value in exports.items())
        + '  mkdir -p "$DAGSTER_HOME" && cp lookup_pipeline/dagster.yaml "$DAGSTER_HOME"\n'
        "\nThe last three keep invented people out of your files, your ledger and your "
        f"Dagster.\nRemove {folder} before another sandbox: it knows no lookup of this one.\n"
    )


@click.command(params=_setting_options())
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    help="Port to listen on; 0 = any free one.",
)
@click.option(
    "--for-program",
    is_flag=True,
    help="Print the address as one line of JSON, and stop when standard input ends.",
)
def sandbox(host: str, port: int, *, for_program: bool, **options: Any) -> None:
    """Serve a simulated RocketReach API: real HTTP, invented people, no credits spent."""
    settings = _settings(options)
    listener = _listen(host, port)
    address = _address(listener)
    base_url = f"{address}{ROOT}"
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(settings),
            log_level="warning",
            access_log=False,
            server_header=False,
            date_header=False,
            # Seconds a connection may idle, long enough for a client to sleep between two polls:
            # closed just as it is used again, it would look like a fault nobody ordered.
            timeout_keep_alive=75,
            timeout_graceful_shutdown=1,  # seconds; nothing here is worth waiting for
        )
    )
    if for_program:
        click.echo(msgspec.json.encode({"base_url": base_url, "api_key": settings.api_key}))
        _stop_when_input_ends(server)
    else:
        click.echo(
            f"The simulated API answers at {base_url} (Ctrl-C ends it).\n"
            f"Plan: {settings.plan}. Looking into it: {address}/sandbox/requests, "
            f"{address}/sandbox/charges.\n\n"
            f"{_how_to_use(base_url, settings.api_key)}"
        )
    # The log and the searches only grow, and hold no cycles: looking through them for garbage
    # again and again costs a quarter of a lookup's time. Python's own first number is 700.
    gc.set_threshold(50_000)
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
