"""`make dev`: the Dagster UI and daemon against the sandbox."""

import argparse
import os
import signal
import subprocess
import sys

from lookup_pipeline.command_line.demo import configure
from lookup_pipeline.command_line.instance import prepare_home
from lookup_pipeline.sandbox.process import running_sandbox
from lookup_pipeline.settings import project_root

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
    """Serve the UI until interrupted; Dagster's exit code."""
    root = project_root()
    folder = root / "data" / "sandbox"
    folder.mkdir(parents=True, exist_ok=True)
    home = os.environ.get("DAGSTER_HOME")
    # Asked to end by a signal, end both: the default would leave Dagster behind. A shell's
    # background job is started deaf to Ctrl-C, and would make Dagster deaf to both.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with running_sandbox(**_SANDBOX) as sandbox:
        configure(folder, sandbox.base_url, sandbox.api_key)
        os.environ["DAGSTER_HOME"] = home or str(root / ".dagster")
        prepare_home()
        sys.stdout.write(
            f"The simulated API answers at {sandbox.base_url}.\n"
            f"The Dagster UI: http://localhost:{port} (in a moment). Ctrl-C ends both.\n"
        )
        sys.stdout.flush()
        # In a folder without .env: Dagster lets that file win over the environment, and it may
        # hold the real key and address.
        dagster = subprocess.Popen(  # noqa: S603 - our own interpreter
            [
                *(sys.executable, "-m", "dagster", "dev"),
                *("--workspace", str(root / "workspace.yaml")),
                *("--host", "127.0.0.1", "--port", str(port)),
            ],
            cwd=folder,
        )
        try:
            return dagster.wait()
        except KeyboardInterrupt:
            return dagster.wait()
        finally:
            dagster.terminate()
            dagster.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=3000, help="of the Dagster UI")
    sys.exit(dev(parser.parse_args().port))
