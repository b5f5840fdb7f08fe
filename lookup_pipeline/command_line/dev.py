"""`make dev`: the Dagster UI and daemon against the sandbox.

The data are made afresh at each start, in data/sandbox: the sandbox keeps its lookups in memory,
and a ledger that outlived them would wait for answers in vain. DAGSTER_HOME is the pipeline's own,
so what is switched on or launched here is stopped at the end; see `shared_home`.
"""

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

from lookup_pipeline.command_line.demo import configure
from lookup_pipeline.command_line.errors import NotStartedError
from lookup_pipeline.command_line.exclusive import held
from lookup_pipeline.command_line.instance import prepare_home
from lookup_pipeline.command_line.shared_home import simulation_in
from lookup_pipeline.sandbox.process import running_sandbox
from lookup_pipeline.settings import ConfigurationError, project_root
from lookup_pipeline.simulation import PROCESS_VARIABLE

# Slow enough to watch: a lookup takes some seconds and two or three polls.
_SANDBOX = {
    "seed": 7,
    "complete_after_polls": 1,
    "complete_after_seconds": 5,
    "extra_polls": 1,
    "not_found": 0.06,
    "failed": 0.04,
    "latency_seconds": 0.1,
}


def dev(port: int) -> int:
    """Serve the UI until interrupted; Dagster's exit code.

    Raises:
        NotStartedError: the port is taken, or something else is at work in one of the folders.
        ConfigurationError: DAGSTER_HOME can't be used.
    """
    _check_port(port)
    data = project_root() / "data"
    data.mkdir(exist_ok=True)
    # Asked to end by a signal, end in order: the default would leave Dagster behind. A shell's
    # background job is started deaf to Ctrl-C, and would make Dagster deaf to it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # A terminal that is closed; whoever used nohup wants it to go on then.
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: sys.exit(128 + signal.SIGHUP))
    home = prepare_home().resolve()
    with (
        held(data, f"Another `make dev` is at work in {data / 'sandbox'}: end it first."),
        simulation_in(home, _say),
        running_sandbox(**_SANDBOX) as sandbox,
    ):
        folder = data / "sandbox"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(exist_ok=True)
        configure(folder, sandbox.base_url, sandbox.api_key)
        os.environ["DAGSTER_HOME"] = os.environ[PROCESS_VARIABLE] = str(home)
        _say(f"The simulated API answers at {sandbox.base_url}.")
        _say(f"The Dagster UI: http://localhost:{port} (in a moment). Ctrl-C ends both.")
        return _serve(port, folder)


def _serve(port: int, folder: Path) -> int:
    # In a folder without .env: Dagster lets that file win over the environment, and it may
    # hold the real key and address.
    dagster = subprocess.Popen(  # noqa: S603 - our own interpreter
        [
            *(sys.executable, "-m", "dagster", "dev"),
            *("--workspace", str(project_root() / "workspace.yaml")),
            *("--host", "127.0.0.1", "--port", str(port)),
        ],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        # Ctrl-C reaches us alone, and Dagster once: by a second signal it breaks off its end.
        start_new_session=True,
    )
    try:
        return dagster.wait()
    except KeyboardInterrupt:
        return _end(dagster)
    except SystemExit:
        _end(dagster)
        raise
    finally:
        # It has ended, unless a second signal was too impatient for that.
        dagster.kill()
        dagster.wait()


def _end(dagster: subprocess.Popen[bytes]) -> int:
    dagster.send_signal(signal.SIGINT)
    return dagster.wait()


def _check_port(port: int) -> None:
    """Dagster tells of a port in use late, among other lines.

    Raises:
        NotStartedError: it can't be had.
    """
    with socket.socket() as listener:
        # As the web server does: what is left of its last connections is no obstacle.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            other = 3001 if port == 3000 else 3000
            raise NotStartedError(
                f"Port {port} can't be had: {error.strerror}. Give another one: "
                f"make dev PORT={other}"
            ) from None


def _port(text: str) -> int:
    if text.isdecimal() and 1 <= int(text) <= 65535:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no port: it takes a number from 1 to 65535")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Read the command line; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=_port, default=3000, help="of the Dagster UI")
    port = parser.parse_args().port
    try:
        return dev(port)
    except (ConfigurationError, NotStartedError) as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())
