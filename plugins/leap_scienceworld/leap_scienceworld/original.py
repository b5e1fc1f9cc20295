"""The package's own Python class, for comparison."""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from scienceworld import ScienceWorldEnv

from leap_scienceworld.simulator import JAVA_OPTIONS, World

_NO_LIMIT = 1_000_000
_LOCK = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginalStep:
    """What the package's class returns for an action; the score and the reward are in points, from 0 to 100."""

    text: str
    reward: int
    done: bool
    score: int
    actions: tuple[str, ...]


@contextmanager
def original(*, same_java: bool = True) -> Iterator[ScienceWorldEnv]:
    """Start the package's class, with the Java options of this plugin if ``same_java``, and end it afterwards."""
    with _LOCK:
        before = os.environ.get("JAVA_TOOL_OPTIONS")
        if same_java:
            os.environ["JAVA_TOOL_OPTIONS"] = " ".join(JAVA_OPTIONS)
        try:
            environment = ScienceWorldEnv("", envStepLimit=_NO_LIMIT)
        finally:
            os.environ.pop("JAVA_TOOL_OPTIONS", None)
            if before is not None:
                os.environ["JAVA_TOOL_OPTIONS"] = before
    try:
        yield environment
    finally:
        # Its own finalizer complains about a JVM that has ended.
        environment.close()
        environment.close = lambda: None


def gold_path(environment: ScienceWorldEnv, world: World) -> Sequence[str]:
    """Return the gold path of ``world``, as the package gives it."""
    environment.load(world.task, world.variation, world.simplifications, generateGoldPath=True)
    path = list(environment.get_gold_action_sequence())
    # Otherwise every reset makes it anew.
    getattr(environment.server, "goldPathGenerationEnabled_$eq")(False)
    return path


def play(environment: ScienceWorldEnv, world: World, actions: Sequence[str]) -> Iterator[OriginalStep]:
    """Yield what the start of ``world`` shows, and then what each of ``actions`` leads to."""
    environment.load(world.task, world.variation, world.simplifications)
    text, info = environment.reset()
    yield _step(text, 0, False, info)
    for action in actions:
        text, reward, done, info = environment.step(action)
        yield _step(text, reward, done, info)


def _step(text: str, reward: int, done: bool, info: dict[str, object]) -> OriginalStep:
    valid, score = info["valid"], info["score"]
    assert isinstance(valid, list) and isinstance(score, int)  # noqa: S101 - for the type checker
    return OriginalStep(text=text, reward=reward, done=done, score=score, actions=tuple(sorted(set(valid))))
