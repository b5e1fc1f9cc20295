"""The simulator's own solution of a variation, as a path of admissible actions, and the facts that it gives."""

from collections.abc import Sequence
from dataclasses import dataclass

from leap_exp.core.types import PrivilegedFacts, Task
from leap_scienceworld.simulator import Simulator, World
from leap_scienceworld.teaching.words import is_move, things_of, verb_of

SOLVED = 100
_WAIT = "wait1"
_TAKING = ("pick up", "focus on", "move", "use", "pour", "activate", "connect", "dunk")


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldStep:
    """An action of the gold path, as the simulator lists it, and the room in which it is taken."""

    action: str
    room: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldPath:
    """The admissible part of a gold path.

    Attributes:
        steps: The actions.
        score: The score that they reach, from 0 to 100.
        skipped: The actions of the simulator's own path that are not admissible where they come, such as to open a
            door that is open.
    """

    steps: tuple[GoldStep, ...]
    score: int
    skipped: tuple[str, ...] = ()

    @property
    def essential(self) -> tuple[GoldStep, ...]:
        """The steps without those that only lead from room to room or look at something."""
        return tuple(
            step
            for step in self.steps
            if not is_move(step.action) and verb_of(step.action) not in ("look around", "look at", "look in", "examine")
        )


def follow(simulator: Simulator, world: World) -> GoldPath:
    """Return the simulator's own solution of ``world`` in admissible actions; the better one of two ways to do it."""
    written = simulator.gold_path(world)
    path = _taken(simulator, world, written, instead="")
    if path.score == SOLVED:
        return path
    # An action that is not possible takes time all the same, and plants go on growing.
    return max(path, _taken(simulator, world, written, instead=_WAIT), key=lambda each: each.score)


def _taken(simulator: Simulator, world: World, written: Sequence[str], *, instead: str) -> GoldPath:
    """Take the actions ``written`` step by step, in place of inadmissible ones the action ``instead``, if any."""
    frame = simulator.restore(world, ())
    steps, skipped = [], []
    for action in written:
        if frame.done:
            break
        listed = simulator.listed_form(action)
        if not listed:
            skipped.append(action)
        if listed := listed or instead:
            steps.append(GoldStep(action=listed, room=simulator.room()))
            frame = simulator.step(listed)
    return GoldPath(steps=tuple(steps), score=frame.score, skipped=tuple(skipped))


def privileged_facts(task: Task, path: GoldPath) -> PrivilegedFacts:
    """Return the facts about ``task``.

    The keys of ``data`` are:
        plan: The gold path.
        score: The score that it reaches, from 0 to 100.
        locations: The things that it uses, with the room of each.
        hidden_names: Their names.
    """
    locations: dict[str, str] = {}
    for step in path.essential:
        for thing in things_of(step.action) if verb_of(step.action) in _TAKING else ():
            locations.setdefault(thing, step.room)
    lines = [
        f"Task: {task.instruction}",
        "Where the things are that it takes:",
        *(f"- {thing}: {room}" for thing, room in locations.items()),
        "A way to solve it:",
        *(f"{number}. {step.action}" for number, step in enumerate(path.steps, start=1)),
    ]
    return PrivilegedFacts(
        task_id=task.id,
        text="\n".join(lines),
        data={
            "plan": [step.action for step in path.steps],
            "score": path.score,
            "locations": locations,
            "hidden_names": sorted(locations),
        },
    )
