"""Run many episodes at once: in turns, for a policy that decides in batches, or each as it becomes ready."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from queue import SimpleQueue
from typing import Protocol

from leap_exp.core.threads import Workers
from leap_exp.core.types import Decision, DecisionFailure, StopReason, Trajectory, View


class LiveEpisode(Protocol):
    """An episode that is running, in an environment whose errors become records."""

    stop: StopReason | None

    def view(self) -> View:
        """Return what the policy sees now."""

    def step(self, decision: Decision, *, taken_by: str = "") -> None:
        """Take the action of ``decision``; ``taken_by`` is that of the ``Step``."""

    def fail(self, error: str) -> None:
        """End without a score."""

    def trajectory(self) -> Trajectory:
        """Close the episode and return its record."""

    def close(self) -> None:
        """Free its resources."""


Turn = tuple[Decision | DecisionFailure, str]
"""A decision, or why there is none, and who took it if it was not the policy."""
Deciding = Callable[[Sequence[View]], Sequence[Turn]]
"""Decides in episodes: a turn for each view."""
Opening = Callable[[int], LiveEpisode]
"""Starts the episode of the task at a place."""
Ending = Callable[[int, Trajectory], None]
"""Called in the caller's thread with the place and the record of each episode that has ended."""


def in_turns(decide: Deciding, opening: Opening, count: int, *, live: int, parallel_steps: int, on_end: Ending) -> None:
    """Run ``count`` episodes, up to ``live`` at a time, in turns: ``decide`` gets all views, then each takes its step.

    Which episodes are decided on together depends on the tasks alone, never on how long anything takes, so that a
    batch is rounded in the same way in every run. The environments step up to ``parallel_steps`` at a time.
    """
    waiting = iter(range(count))
    running: dict[int, LiveEpisode] = {}
    workers = Workers(parallel_steps, on_error=_never)

    def for_each(work: Callable[[int], object], places: Sequence[int]) -> None:
        if parallel_steps > 1:
            workers.do_all(lambda index: work(places[index]), len(places))
        else:
            for place in places:
                work(place)

    def start(place: int) -> None:
        running[place] = opening(place)

    try:
        while True:
            for_each(start, list(islice(waiting, live - len(running))))
            if not running:
                return
            acting = [place for place in sorted(running) if running[place].stop is None]
            decided = decide([running[place].view() for place in acting]) if acting else []
            decisions = dict(zip(acting, decided, strict=True))
            for_each(lambda place: take(running[place], decisions[place]), acting)  # noqa: B023 - called at once
            ended = [place for place in sorted(running) if running[place].stop is not None]
            for_each(lambda place: running[place].close(), ended)
            for place in ended:
                on_end(place, running.pop(place).trajectory())
    finally:
        for episode in running.values():
            episode.close()
        workers.close()


def as_ready(
    decide: Deciding,
    opening: Opening,
    count: int,
    *,
    live: int,
    concurrency: int,
    parallel_steps: int,
    on_end: Ending,
) -> None:
    """Run ``count`` episodes, up to ``live`` at a time, each for itself: ``decide`` gets its view when it is ready.

    So neither a slow command nor a slow answer holds the other episodes. Up to ``concurrency`` views are being decided
    on at a time, and up to ``parallel_steps`` episodes step; both in the order in which they become ready. If
    ``decide`` raises an error, decisions that are being made are awaited before it is raised.
    """
    ended: SimpleQueue[tuple[int, Trajectory] | BaseException] = SimpleQueue()
    acting = Workers(min(concurrency, live), on_error=ended.put)
    stepping = Workers(min(parallel_steps, live), on_error=ended.put)
    running: dict[int, LiveEpisode] = {}

    def start(place: int) -> None:
        running[place] = opening(place)
        go_on(place)

    def go_on(place: int) -> None:
        episode = running[place]
        if episode.stop is None:
            acting.submit(partial(act, place))
        else:
            ended.put((place, episode.trajectory()))

    def act(place: int) -> None:
        (turn,) = decide([running[place].view()])
        stepping.submit(partial(step, place, turn))

    def step(place: int, turn: Turn) -> None:
        take(running[place], turn)
        go_on(place)

    waiting = iter(range(count))
    wait = False
    try:
        for place in islice(waiting, live):
            stepping.submit(partial(start, place))
        for _ in range(count):
            result = ended.get()
            if isinstance(result, BaseException):
                wait = True
                raise result
            del running[result[0]]
            on_end(*result)
            for place in islice(waiting, 1):
                stepping.submit(partial(start, place))
        wait = True
    finally:
        acting.close(wait=wait)
        stepping.close(wait=wait)
        for episode in list(running.values()):
            episode.close()


def take(episode: LiveEpisode, turn: Turn) -> None:
    """Let ``episode`` take a step, or end it where there is no decision."""
    decision, taken_by = turn
    if isinstance(decision, DecisionFailure):
        episode.fail(decision.error)
    else:
        episode.step(decision, taken_by=taken_by)


def _never(error: BaseException) -> None:
    raise AssertionError("nothing is submitted that raises an error") from error
