"""A load test: ``leap-openenv-load --environment alfworld --sessions 256``.

All sessions play at the same time on one server, in this machine. Then each episode is played again without a server,
and its transcript compared: a session that saw anything of another one is counted as mixed up.
"""

import argparse
import asyncio
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import httpx

from leap_exp.core.errors import EnvError
from leap_exp.core.types import Observation, Task, View
from leap_exp.interfaces.sessions import Session
from leap_exp.students.scripted import RandomPolicy
from leap_openenv.client import LeapEnv
from leap_openenv.environment import shared_environment
from leap_openenv.models import LeapAction, LeapObservation
from leap_openenv.server import MAX_SESSIONS

T = TypeVar("T")

READY_SECONDS = 300.0

Seen = tuple[str, Sequence[str] | None, float, bool]
"""A step as the agent sees it: text, admissible actions, reward, whether the episode is over."""


@dataclass
class Play:
    """An episode: what was seen, and the seconds that each request took."""

    seen: list[Seen] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    score: float = 0.0


async def load(environment: str, split: str, *, sessions: int, steps: int, url: str = "") -> dict[str, object]:
    """Play ``sessions`` episodes of up to ``steps`` steps at a time, and return what was measured.

    Args:
        environment: Name of the environment.
        split: Its split; the sessions take its tasks in turn.
        sessions: Number of sessions at a time.
        steps: Maximum steps of an episode.
        url: A server that is running; empty to start one, whose memory is then measured.
    """
    tasks = shared_environment(environment).environment.tasks(split)
    numbers = [number % len(tasks) for number in range(sessions)]
    async with contextlib.nullcontext((url, 0)) if url else serving(sessions) as (base_url, process_id):
        before = _memory_mib(process_id)
        patience = {"connect_timeout_s": READY_SECONDS, "message_timeout_s": READY_SECONDS}
        # A busy machine answers pings late, which is not what is measured.
        clients = [LeapEnv(base_url=base_url, websocket_ping_interval_s=None, **patience) for _ in numbers]
        await asyncio.gather(*(client.connect() for client in clients))
        start = time.perf_counter()
        resets = await asyncio.gather(
            *(
                _timed(client.reset(environment=environment, split=split, index=index, max_steps=steps))
                for client, index in zip(clients, numbers, strict=True)
            )
        )
        opened = time.perf_counter()
        plays = await asyncio.gather(
            *(
                _play(client, first.observation, session=session)
                for session, (client, (first, _)) in enumerate(zip(clients, resets, strict=True))
            )
        )
        ended = time.perf_counter()
        after = _memory_mib(process_id)
        await asyncio.gather(*(client.close() for client in clients))
    direct = [_play_directly(environment, tasks[index], session, steps) for session, index in enumerate(numbers)]
    mixed_up = sum(
        play.seen != alone.seen or play.score != alone.score for play, alone in zip(plays, direct, strict=True)
    )
    latencies = sorted(second * 1000 for play in plays for second in play.seconds)
    percentiles = statistics.quantiles(latencies, n=100)
    return {
        "environment": environment,
        "sessions": sessions,
        "steps": len(latencies),
        "open_seconds": round(opened - start, 2),
        "steps_per_second": round(len(latencies) / (ended - opened)),
        "p50_ms": round(percentiles[49], 1),
        "p95_ms": round(percentiles[94], 1),
        "server_mib": round(after),
        "kib_per_session": round((after - before) * 1024 / sessions),
        "different_transcripts": len({json.dumps(play.seen) for play in plays}),
        "mixed_up_sessions": mixed_up,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the load test and print its figures. Returns 1 if sessions were mixed up."""
    parser = argparse.ArgumentParser(prog="leap-openenv-load", description=__doc__.partition("\n")[0])
    parser.add_argument("--environment", default="alfworld", help="name of the environment")
    parser.add_argument("--split", default="train", help="split of the tasks")
    parser.add_argument("--sessions", type=int, default=256, help="sessions at a time")
    parser.add_argument("--steps", type=int, default=20, help="maximum steps of an episode")
    parser.add_argument("--url", default="", help="a server that is running; without it, one is started")
    options = parser.parse_args(arguments)
    figures = asyncio.run(
        load(options.environment, options.split, sessions=options.sessions, steps=options.steps, url=options.url)
    )
    print(json.dumps(figures))
    return int(figures["mixed_up_sessions"] != 0)


async def _play(client: LeapEnv, first: LeapObservation, *, session: int) -> Play:
    play = Play()
    shown, step = first, 0
    while True:
        play.seen.append((shown.text, shown.admissible_actions, float(shown.reward or 0.0), shown.done))
        play.score = shown.score
        if shown.done:
            return play
        result, seconds = await _timed(client.step(LeapAction(text=_action(_task(shown), shown, session, step))))
        play.seconds.append(seconds)
        shown, step = result.observation, step + 1


def _play_directly(environment: str, task: Task, session: int, steps: int) -> Play:
    play = Play()
    with Session(shared_environment(environment).environment, max_steps=steps) as alone:
        shown, reward = alone.start(task, seed=0), 0.0
        while True:
            listed = shown.admissible_actions
            play.seen.append((shown.text, None if listed is None else list(listed), reward, alone.done))
            if alone.done:
                play.score = alone.score
                return play
            transition = alone.step(_action(task, shown, session, alone.steps))
            shown, reward = transition.observation, transition.reward


def _task(shown: LeapObservation) -> Task:
    return Task(id=shown.task_id, split="", instruction=shown.instruction, kind="")


def _action(task: Task, shown: Observation | LeapObservation, session: int, step: int) -> str:
    """Return an admissible action drawn by task, session and step; a shell writes and reads a file of all steps."""
    if shown.admissible_actions is None:
        return f"echo session {session} step {step} >> ~/mark; cat ~/mark; ls ~"
    observation = Observation(text=shown.text, admissible_actions=tuple(shown.admissible_actions))
    view = View(task=task, history=(), observation=observation, sample=session)
    (decision,) = RandomPolicy().act([view], seed=step)
    return decision.action


async def _timed(work: Awaitable[T]) -> tuple[T, float]:
    start = time.perf_counter()
    result = await work
    return result, time.perf_counter() - start


@contextlib.asynccontextmanager
async def serving(sessions: int) -> AsyncIterator[tuple[str, int]]:
    """Run a server on a free port of this machine; yields its URL and process id when it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "leap_openenv.server", "--port", str(port)]
    process = subprocess.Popen(command, env={**os.environ, MAX_SESSIONS: str(sessions)})
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + READY_SECONDS
        async with httpx.AsyncClient(trust_env=False) as client:
            while True:
                with contextlib.suppress(httpx.TransportError):
                    (await client.get(f"{url}/health")).raise_for_status()
                    break
                if process.poll() is not None or time.monotonic() > deadline:
                    raise EnvError(f"The server did not start: see what {' '.join(command)} prints.")
                await asyncio.sleep(0.1)
        yield url, process.pid
    finally:
        process.terminate()
        process.wait()


def _memory_mib(process_id: int) -> float:
    """Return the memory that a process holds, in MiB; 0 if there is none to look at."""
    status = Path(f"/proc/{process_id}/status")
    if not process_id or not status.exists():
        return 0.0
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    sys.exit(main())
