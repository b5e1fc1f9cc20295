"""The same tasks side by side: what each arm of a sweep did on them after its last round, as JSON data."""

import json
from collections.abc import Mapping, Sequence
from statistics import fmean, pvariance

from leap_exp.analysis.run import Run
from leap_exp.analysis.sweep import Sweep
from leap_exp.core.types import Step, Trajectory

BYTES = 600_000
"""Most JSON that the trajectories of a page may take; at least one task is shown."""

Strings = dict[str, int]
"""Texts and their places in the page's table, which holds each of them once: arms see much the same."""


def side_by_side(sweep: Sweep) -> dict[str, object] | None:
    """Return the tasks that every arm was evaluated on, and each arm's episode on them; None for a single arm.

    Of each arm the first seed that all arms have is shown or, without one, its first; of each task its first episode.
    Tasks on which arms differ most come first. Those beyond ``BYTES`` are left out; ``total`` is the number of all.
    """
    if len(sweep.groups) < 2:
        return None
    seeds = set.intersection(*({run.seed for run in group.runs} for group in sweep.groups))
    runs = [next((run for run in group.runs if run.seed in seeds), group.runs[0]) for group in sweep.groups]
    places = [len(group.rounds) - 1 for group in sweep.groups]
    episodes = [_first_episodes(run, place) for run, place in zip(runs, places, strict=True)]
    shared = [task for task in episodes[0] if all(task in of_arm for of_arm in episodes)]
    if not shared:
        return None
    strings: Strings = {}
    shown: list[dict[str, object]] = []
    size = 0
    for task in sorted(shared, key=lambda task: -_disagreement([of_arm[task] for of_arm in episodes])):
        before = len(strings)
        entry = _entry([of_arm[task] for of_arm in episodes], strings)
        size += len(json.dumps([entry, list(strings)[before:]]))
        if size > BYTES and shown:
            break
        shown.append(entry)
    return {
        "arms": [
            {"label": group.label, "seed": run.seed, "round": group.rounds[-1].label}
            for group, run in zip(sweep.groups, runs, strict=True)
        ],
        "total": len(shared),
        "tasks": shown,
        "strings": list(strings),
    }


def _first_episodes(run: Run, place: int) -> Mapping[str, Trajectory]:
    episodes: dict[str, Trajectory] = {}
    for trajectory in run.evaluation(run.rounds[place]["round"]):
        episodes.setdefault(trajectory.task.id, trajectory)
    return episodes


def _disagreement(trajectories: Sequence[Trajectory]) -> float:
    scores = [trajectory.score or 0.0 for trajectory in trajectories]
    return pvariance(scores, fmean(scores))


def _entry(trajectories: Sequence[Trajectory], strings: Strings) -> dict[str, object]:
    task = trajectories[0].task
    return {
        "id": task.id,
        "kind": task.full_kind,
        "instruction": task.instruction,
        "episodes": [
            {
                "score": trajectory.score,
                "success": trajectory.succeeded,
                "stop": trajectory.stop.value,
                "error": trajectory.error,
                "steps": [_step(step, strings) for step in trajectory.steps],
            }
            for trajectory in trajectories
        ],
    }


def _step(step: Step, strings: Strings) -> list[object]:
    """Return the places of observation, reason and action, and whether the action was admissible."""
    texts = (step.observation.text, step.decision.reason, step.action)
    return [*(strings.setdefault(text, len(strings)) for text in texts), int(step.is_valid)]
