"""Made-up records for the tests."""

from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import (
    Briefing,
    Correction,
    Decision,
    Observation,
    Step,
    StopReason,
    Task,
    Trajectory,
)

ACTIONS = ("go to desk 1", "go to shelf 1", "go to shelf 2", "look", "take mug 1 from desk 1")


def task(name: str = "0") -> Task:
    return Task(id=f"alfworld/{name}", split="train", instruction="put a mug in shelf.", kind="pick")


def trajectory(*actions: str, name: str = "0", score: float = 0.0) -> Trajectory:
    steps = tuple(
        Step(
            observation=Observation(text=f"You arrive at place {index}, {name}.", admissible_actions=ACTIONS),
            decision=Decision(reason="", action=action),
            reward=0.0,
        )
        for index, action in enumerate(actions)
    )
    return Trajectory(task=task(name), policy_id="p", seed=0, steps=steps, stop=StopReason.STEP_LIMIT, score=score)


def correction(taken: tuple[str, ...], taught: tuple[str, ...], *, name: str = "0") -> Correction:
    return Correction(
        trajectory=trajectory(*taken, name=name),
        decisions=tuple(Decision(reason="", action=action) for action in taught),
        changed=tuple(a != b for a, b in zip(taken, taught, strict=True)),
        teacher_id="t",
        briefing=Briefing(disclosure=Disclosure.NONE, facts=None),
    )
