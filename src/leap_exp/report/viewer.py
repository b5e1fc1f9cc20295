"""The trajectories that a report's viewer steps through, as JSON data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from leap_exp.analysis.leakage import leaks
from leap_exp.core.types import Correction, CorrectionFailure, Step, Trajectory, views
from leap_exp.store import read_records, round_name

TRAJECTORIES = 800
"""The most trajectories that a page embeds; each file of a round gets an equal part, and at least one."""


@dataclass(slots=True)
class _Strings:
    """A table of strings that occur again and again (commands), so that the page holds each of them once."""

    table: list[str] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)

    def place(self, text: str) -> int:
        if text not in self.places:
            self.places[text] = len(self.table)
            self.table.append(text)
        return self.places[text]


def viewer_data(folder: Path, labels: Sequence[str]) -> dict[str, object]:
    """The trajectories of the run in ``folder``: ``groups`` of a round and a stage each, and the ``strings`` they use.

    Args:
        folder: the run folder.
        labels: what the finished rounds are called.

    A large run is cut: every group keeps its first trajectories, in the order of its file (for an evaluation that is
    the order of the panel, so that the rounds keep the same tasks), and says how many there were (``total``).
    """
    files = [
        (index, stage, path)
        for index in range(len(labels))
        for stage, name in (("rollout", "trajectories"), ("evaluation", "evaluation"))
        if (path := folder / round_name(index) / f"{name}.jsonl").exists()
    ]
    limit = max(1, TRAJECTORIES // max(1, len(files)))
    strings = _Strings()
    groups = []
    for index, stage, path in files:
        trajectories = read_records(path).of(Trajectory)
        # Demonstrations are their own corrections: the teacher's side would only repeat them.
        corrected = stage == "rollout" and index > 0
        corrections = _corrections(path.with_name("corrections.jsonl")) if corrected else {}
        items = [_item(trajectory, corrections.get(_key(trajectory)), strings) for trajectory in trajectories[:limit]]
        name = "demonstrations" if index == 0 and stage == "rollout" else stage
        groups.append(
            {"round": index, "label": labels[index], "stage": name, "total": len(trajectories), "items": items}
        )
    return {"groups": groups, "strings": strings.table}


def _key(trajectory: Trajectory) -> tuple[str, int]:
    return trajectory.task.id, trajectory.seed


def _corrections(path: Path) -> Mapping[tuple[str, int], Correction | CorrectionFailure]:
    """What the teacher said to the trajectories of a round, by task and seed."""
    if not path.exists():
        return {}
    stored = read_records(path)
    results: Sequence[Correction | CorrectionFailure] = [*stored.of(Correction), *stored.of(CorrectionFailure)]
    return {_key(result.trajectory): result for result in results}


def _item(
    trajectory: Trajectory, result: Correction | CorrectionFailure | None, strings: _Strings
) -> dict[str, object]:
    steps = [_step(step, strings) for step in trajectory.steps]
    if isinstance(result, Correction):
        for entry, teacher in zip(steps, _teacher(result), strict=True):
            entry["teacher"] = teacher
    return {
        "id": trajectory.task.id,
        "kind": trajectory.task.kind,
        "instruction": trajectory.task.instruction,
        "score": trajectory.score,
        "success": trajectory.succeeded,
        "stop": trajectory.stop.value,
        "error": trajectory.error,
        "failure": result.error if isinstance(result, CorrectionFailure) else "",
        "steps": steps,
    }


def _step(step: Step, strings: _Strings) -> dict[str, object]:
    admissible = step.observation.admissible_actions
    return {
        "text": step.observation.text,
        "admissible": None if admissible is None else [strings.place(action) for action in admissible],
        "reason": step.decision.reason,
        "action": step.decision.action,
        "valid": step.is_valid,
        "reward": step.reward,
    }


def _teacher(correction: Correction) -> list[dict[str, object]]:
    """The teacher's side of each step, with what its reason gives away."""
    rows = zip(views(correction.trajectory), correction.decisions, correction.changed, strict=True)
    return [
        {
            "reason": decision.reason,
            "action": decision.action,
            "changed": changed,
            "leaks": list(leaks(view, decision.reason, correction.briefing.facts)),
        }
        for view, decision, changed in rows
    ]
