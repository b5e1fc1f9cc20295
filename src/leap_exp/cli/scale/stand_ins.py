"""Stand-ins for a large run: a world of corridors, a model that answers slowly, and a trainer that only reads."""

import heapq
import json
import random
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leap_exp.core.environments import Environment, Episode, Oracle
from leap_exp.core.privilege import Disclosure
from leap_exp.core.protocols import ProgressCallback, Student, Trainer
from leap_exp.core.seeding import derive_seed
from leap_exp.core.types import (
    Correction,
    Decision,
    EnvironmentPrompts,
    Observation,
    PrivilegedFacts,
    Task,
    Transition,
    View,
)
from leap_exp.llm import ChatClient, ChatReply, Endpoint, ModelRequest
from leap_exp.llm.messages import ChatRequest
from leap_exp.llm.replicas import Replicas
from leap_exp.llm.server import Server, TransientError
from leap_exp.students.api import ApiStudent
from leap_exp.students.config import ApiStudentConfig
from leap_exp.tokens.renderer import ACTION_FIELD, REASON_FIELD

DOORS = tuple(f"open the door with number {number} on the left" for number in range(1, 25))
SHORTEST, LONGEST = 4, 12
"""Rooms of a corridor, one step each."""
_FITS = "The key fits: "
_ROOM = "A long corridor with grey walls, a carpet that muffles every step, and lamps that hum. " * 8


class CorridorEpisode(Episode):
    """A corridor of rooms. In each, one door leads on; the observation names it. Any other leads nowhere."""

    def __init__(self, rooms: Sequence[int]) -> None:
        self._rooms = rooms
        self._passed = 0

    @property
    def observation(self) -> Observation:
        """The room, as long as a page of ALFWorld with its actions."""
        door = DOORS[self._rooms[min(self._passed, len(self._rooms) - 1)]]
        return Observation(text=f"Room {self._passed}. {_ROOM}{_FITS}{door}", admissible_actions=DOORS)

    def step(self, action: str) -> Transition:
        """Go on through the right door."""
        self._passed += action == DOORS[self._rooms[self._passed]]
        done = self._passed == len(self._rooms)
        return Transition(observation=self.observation, reward=float(done), done=done)

    def score(self) -> float:
        """1 at the end of the corridor."""
        return float(self._passed == len(self._rooms))


class CorridorOracle(Oracle):
    """Takes the door that the observation names."""

    def decide(
        self,
        view: View,
        disclosure: Disclosure,  # noqa: ARG002 - there is nothing to disclose
        *,
        seed: int,  # noqa: ARG002
        taken: str | None = None,  # noqa: ARG002
    ) -> Decision:
        """Return the right door."""
        return Decision(reason="This door leads on.", action=view.observation.text.rpartition(_FITS)[2])


class Corridors(Environment):
    """Corridors whose lengths and doors are drawn by their ids."""

    name = "corridors"
    max_repeats = 0
    prompts = EnvironmentPrompts(student="Leave the corridor.")

    def __init__(self, count: int) -> None:
        self._count = count

    def tasks(self, split: str) -> Sequence[Task]:
        """Return ``count`` tasks."""
        return [
            Task(
                id=f"{split}/{index:05d}", split=split, instruction=f"Leave corridor {index}.", kind=f"kind {index % 6}"
            )
            for index in range(self._count)
        ]

    @contextmanager
    def open(self, task: Task, *, seed: int) -> Iterator[Episode]:  # noqa: ARG002 - nothing is random
        """Start an episode."""
        yield CorridorEpisode(rooms_of(task.id))

    def privileged(self, task: Task) -> PrivilegedFacts:
        """Return the doors."""
        return PrivilegedFacts(task_id=task.id, text=f"The doors are {rooms_of(task.id)}.")

    def oracle(self, task: Task) -> Oracle:  # noqa: ARG002 - it is the same for all tasks
        """Return the expert."""
        return CorridorOracle()


def rooms_of(task_id: str) -> list[int]:
    """Return the right door of each room."""
    rng = random.Random(derive_seed(0, "rooms", task_id))
    return [rng.randrange(len(DOORS)) for _ in range(rng.randint(SHORTEST, LONGEST))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How the stand-in for a model answers.

    Attributes:
        seconds: Mean time of an answer once it is its turn. Half of it is fixed, half is exponential.
        slots: Answers that one replica works on at a time; further requests wait.
        failing_share: Share of requests that fail.
    """

    seconds: float
    slots: int
    failing_share: float

    def draw(self, task_id: str, step: int, *, server: str = "", tried: int = 0) -> tuple[float, bool]:
        """Return the seconds of an answer, the same at all servers, and whether this try of it fails."""
        seconds = self.seconds * (0.5 + random.Random(derive_seed(0, "seconds", task_id, step)).expovariate(2.0))
        luck = random.Random(derive_seed(0, "luck", task_id, step, server, tried)).random()
        return seconds, luck < self.failing_share


class StandIn(Server):
    """A server whose model takes the right door, after a drawn time; some requests fail. It can die and come back."""

    def __init__(self, endpoint: Endpoint, pace: Pace) -> None:
        super().__init__(endpoint)
        self._pace = pace
        self._slots = threading.BoundedSemaphore(pace.slots)
        self._lock = threading.Lock()
        self._tried: dict[tuple[str, int], int] = {}
        self.is_dead = False

    def ask(self, request: ModelRequest, body: Mapping[str, Any]) -> ChatReply:  # noqa: ARG002 - the request has it all
        """Return the answer after a while.

        Raises:
            TransientError: The request was drawn to fail, or the server is dead.
        """
        assert isinstance(request, ChatRequest)  # noqa: S101 - students behind servers chat
        step = len(request.messages) // 2
        with self._slots:
            self._check_alive()
            with self._lock:
                tried = self._tried.get((request.conversation, step), 0)
                self._tried[request.conversation, step] = tried + 1
            seconds, fails = self._pace.draw(request.conversation, step, server=self.name, tried=tried)
            time.sleep(seconds)
            self._check_alive()
        if fails:
            raise TransientError("The stand-in failed as it was drawn to.")
        door = request.messages[-1].text.rpartition(_FITS)[2].partition("\n")[0]
        text = f"{REASON_FIELD} The key fits there.\n{ACTION_FIELD} {door}"
        return ChatReply(
            text=text, finish_reason="stop", refusal="", tokens_in=1000, tokens_out=20, latency_seconds=seconds
        )

    def _check_alive(self) -> None:
        if self.is_dead:
            raise TransientError("The stand-in is dead.")


class StandInStudent(ApiStudent, Student):
    """A student behind stand-ins, which every training leaves as it is."""

    def __init__(self, environment: Environment, *, replicas: int, concurrency: int, pace: Pace) -> None:
        urls = [f"http://127.0.0.1:{number}/v1" for number in range(1, replicas + 1)]
        endpoint = Endpoint(base_url=urls[0], base_urls=urls, model="stand-in", concurrency=concurrency, max_tokens=64)
        self.servers = [StandIn(each, pace) for each in endpoint.replicas]
        client = ChatClient(endpoint, place="student.endpoint", server=Replicas(self.servers))
        super().__init__(ApiStudentConfig(endpoint=endpoint), environment, client=client)

    def logprobs(self, corrections: Sequence[Correction]) -> Sequence[float]:
        """Return the same value for every step."""
        return [-1.0 for correction in corrections for _ in correction.decisions]

    def load(self, folder: Path, *, policy_id: str) -> "StandInStudent":  # noqa: ARG002 - nothing was trained
        """Return this student."""
        return self


class ReadingTrainer(Trainer):
    """Reads the training set once, as an epoch does."""

    def fit(
        self,
        student: Student,  # noqa: ARG002
        train: Sequence[Correction],
        validation: Sequence[Correction],
        *,
        out: Path,
        seed: int,  # noqa: ARG002
        on_progress: ProgressCallback,
    ) -> Mapping[str, float]:
        """Write how many steps there are."""
        steps = sum(len(correction.decisions) for part in (train, validation) for correction in part)
        (out / "steps.json").write_text(json.dumps(steps), encoding="utf-8")
        on_progress(1, 1)
        return {"train/steps_count": float(steps)}


def best_seconds(task_ids: Sequence[str], pace: Pace, *, replicas: int) -> float:
    """Return the seconds that the replicas need for the episodes of ``task_ids`` if nothing else takes any time.

    All episodes are live. Whenever a slot of any replica is free, it takes the step that has waited longest.
    """
    chains = [[pace.draw(task_id, step)[0] for step in range(1, len(rooms_of(task_id)) + 1)] for task_id in task_ids]
    slots = [0.0] * (replicas * pace.slots)
    ready = [(0.0, index, 0) for index in range(len(chains))]
    end = 0.0
    while ready:
        since, index, step = heapq.heappop(ready)
        free = heapq.heappop(slots)
        done = max(free, since) + chains[index][step]
        heapq.heappush(slots, done)
        if step + 1 < len(chains[index]):
            heapq.heappush(ready, (done, index, step + 1))
        end = max(end, done)
    return end
