"""The server: ``leap-openenv --port 8000``, or ``uvicorn leap_openenv.server:app``."""

import argparse
import os
from collections.abc import Sequence

import uvicorn
from openenv.core.env_server.http_server import create_app

from leap_openenv.environment import ENVIRONMENT, SETTINGS, LeapEnvironment
from leap_openenv.models import LeapAction, LeapObservation, LeapState

MAX_SESSIONS = "LEAP_OPENENV_MAX_SESSIONS"
"""Environment variable with the number of sessions at a time; 512 by default."""

PING_TIMEOUT_SECONDS = 600.0

app = create_app(
    LeapEnvironment,
    LeapAction,
    LeapObservation,
    env_name="leap_openenv",
    max_concurrent_envs=int(os.environ.get(MAX_SESSIONS, "512")),
    state_cls=LeapState,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(
        prog="leap-openenv",
        description=f"Serve the environments of leap_exp. Set {ENVIRONMENT}, {SETTINGS} (JSON) and {MAX_SESSIONS} in "
        "the process's environment.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 for all")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on")
    options = parser.parse_args(arguments)
    # A trainer that is busy for minutes keeps its session.
    uvicorn.run(app, host=options.host, port=options.port, log_level="warning", ws_ping_timeout=PING_TIMEOUT_SECONDS)


if __name__ == "__main__":
    main()
