"""The trajectories in a report's viewer, as JSON data."""

from collections.abc import Container, Mapping, Sequence
from pathlib import Path

from leap_exp.analysis.leakage import leaks
from leap_exp.core.types import Correction, CorrectionFailure, Step, Trajectory, views
from leap_exp.runs import read_records, round_name

TRAJECTORIES = 800
"""Maximum number of trajectories on a page, shared equally by all record files; each shows at least one."""


Strings = dict[str, int]
"""Strings that often recur (commands) and their places in the page's table, which holds each of them once."""


def viewer_data(folder: Path, labels: Sequence[str]) -> dict[str, object]:
    """Return the trajectories of a run: ``groups``, one per round and stage, and the ``strings`` they refer to.

    A group of a large run has only the first trajectories of its file, and their number in the file (``total``). The
    evaluations follow the order of the panel, so all rounds show the same tasks.

    Args:
        folder: The run folder.
        labels: Names of the finished rounds.
    """
    files = [
        (index, stage, path)
        for index in range(len(labels))
        for stage, name in (("rollout", "trajectories"), ("evaluation", "evaluation"))
        if (path := folder / round_name(index) / f"{name}.jsonl").exists()
    ]
    limit = max(1, TRAJECTORIES // max(1, len(files)))
    strings: Strings = {}
    groups = []
    for index, stage, path in files:
        trajectories = read_records(path).of(Trajectory)
        # Demonstrations are their own corrections, so showing both would repeat them.
        corrected = stage == "rollout" and index > 0
        shown = trajectories[:limit]
        corrections = _corrections(path.with_name("corrections.jsonl"), set(map(_key, shown))) if corrected else {}
        items = [_item(trajectory, corrections.get(_key(trajectory)), strings) for trajectory in shown]
        name = "demonstrations" if index == 0 and stage == "rollout" else stage
        groups.append(
            {"round": index, "label": labels[index], "stage": name, "total": len(trajectories), "items": items}
        )
    return {"groups": groups, "strings": list(strings)}


def _key(trajectory: Trajectory) -> tuple[str, int]:
    return trajectory.name, trajectory.seed


def _corrections(
    path: Path, shown: Container[tuple[str, int]]
) -> Mapping[tuple[str, int], Correction | CorrectionFailure]:
    """Return the teacher's results for the trajectories that are shown, by task and seed."""
    if not path.exists():
        return {}
    results = (each for each in read_records(path).records if isinstance(each, Correction | CorrectionFailure))
    # Where a teacher went on after a correction, the trajectory is another one.
    own = (each for each in results if each.trajectory.resumed_at is None)
    return {key: result for result in own if (key := _key(result.trajectory)) in shown}


def _item(trajectory: Trajectory, result: Correction | CorrectionFailure | None, strings: Strings) -> dict[str, object]:
    steps = [_step(step, strings) for step in trajectory.steps]
    if isinstance(result, Correction):
        for entry, teacher in zip(steps, _teacher(result), strict=True):
            if teacher is not None:
                entry["teacher"] = teacher
    return {
        "id": trajectory.name,
        "kind": trajectory.task.full_kind,
        "instruction": trajectory.task.instruction,
        "score": trajectory.score,
        "success": trajectory.succeeded,
        "stop": trajectory.stop.value,
        "error": trajectory.error,
        "failure": result.error if isinstance(result, CorrectionFailure) else "",
        "steps": steps,
    }


def _step(step: Step, strings: Strings) -> dict[str, object]:
    admissible = step.observation.admissible_actions
    return {
        "text": step.observation.text,
        "admissible": None
        if admissible is None
        else [strings.setdefault(action, len(strings)) for action in admissible],
        "reason": step.decision.reason,
        "action": step.decision.action,
        "valid": step.is_valid,
        "reward": step.reward,
        "taken_by": step.taken_by,
    }


def _teacher(correction: Correction) -> list[dict[str, object] | None]:
    """Return the teacher's decision at each step, with what its reason reveals; None where it was not asked."""
    rows = zip(views(correction.trajectory), correction.decisions, correction.changed, strict=True)
    return [
        {
            "reason": decision.reason,
            "action": decision.action,
            "changed": changed,
            "leaks": list(leaks(view, decision.reason, correction.briefing.facts)),
        }
        if index not in correction.context_steps
        else None
        for index, (view, decision, changed) in enumerate(rows)
    ]
