"""Results cards: a result with everything that it takes to repeat it, and the comparison of two of them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from operator import add
from pathlib import Path
from statistics import fmean
from typing import Any

from leap_exp.analysis.cost import cost, gain, gain_per_cost
from leap_exp.analysis.run import FREE_SETTINGS, Run, read_run
from leap_exp.analysis.statistics import mean_interval, wilson_interval
from leap_exp.core.errors import DataError, StoreError
from leap_exp.runs import read_document, write_document

CARD_FILE = "card.json"
_OF_MACHINE = ("accelerators", "server", "vllm")
"""Parts of a student's provenance that do not identify it."""
_MEANS = ("score_mean", "steps_mean", "invalid_action_rate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How a repeated result compares with a card.

    Attributes:
        agrees: Whether the repeated success rate lies in the card's interval, on the same panel and student.
        identical: Whether every task has the same successes.
        lines: What was compared, a line each; differences first.
    """

    agrees: bool
    identical: bool
    lines: Sequence[str]


def make_card(folders: Sequence[Path]) -> dict[str, Any]:
    """Return the card of the runs in ``folders``, which differ in a seed alone.

    The success of a task is its mean over the runs. The 95 % interval is Wilson's, for as many episodes as there are
    tasks: it covers another panel of this size, and is wide enough for other seeds.

    Raises:
        StoreError: A folder has no finished run.
        DataError: The runs were evaluated on different tasks.
    """
    runs: list[Run] = [read_run(folder) for folder in folders]
    first = runs[0]
    results = [run.rounds[-1] for run in runs]
    if len({result["panel_hash"] for result in results}) > 1:
        raise DataError("The runs of a card must have the same panel: give --panel with --seeds.")
    scores = [run.scores[-1] for run in runs]
    tasks = {task: [score.get(task) for score in scores] for task in sorted({task for each in scores for task in each})}
    means = [fmean(value for value in values if value is not None) for values in tasks.values()]
    rates = [float(result["success_rate"]) for result in results]
    gains = [gained for run in runs if (gained := gain(run)) is not None]
    spent = reduce(add, (cost(run) for run in runs))
    gained = fmean(gains) if gains else None
    return {
        "arguments": _arguments(first),
        "seeds": [run.config["evaluation.panel_seed"] for run in runs],
        "student": first.provenance.get("student", {}),
        "panel": {
            **first.provenance.get("panel", {}),
            "split": results[0]["split"],
            "hash": results[0]["panel_hash"],
            "tasks": len(tasks),
        },
        "protocol": first.provenance.get("protocol"),
        "result": {
            "success_rate": fmean(means) if means else 0.0,
            "success_ci95": list(wilson_interval(sum(means), len(means))),
            "success_by_seed": rates,
            "success_seeds_ci95": _over_seeds(rates),
            **{name: fmean(float(result[name]) for result in results) for name in _MEANS},
            "unscored": sum(int(result["unscored"]) for result in results),
            "success_by_kind": _success_by("per_task_type", results),
            "success_by_environment": _success_by("per_environment", results),
        },
        "cost": {**asdict(spent), "gained": gained, "gained_per": gain_per_cost(gained, spent)},
        "versions": {"git": _git(first), **first.provenance.get("libraries", {})},
        "machine": first.provenance.get("machine", {}),
        "settings": {name: value for name, value in first.config.items() if name != "run_dir"},
        "tasks": tasks,
    }


def write_card(card: Mapping[str, Any], folder: Path) -> Path:
    """Write ``card`` to its JSON file in ``folder`` and return its path."""
    path = folder / CARD_FILE
    write_document(path, card)
    return path


def read_card(path: Path) -> dict[str, Any]:
    """Read a card; raises StoreError if ``path`` is none."""
    card = read_document(path / CARD_FILE if path.is_dir() else path)
    if missing := {"arguments", "panel", "result", "tasks", "settings"} - card.keys():
        raise StoreError(f"{path} is not a results card: it lacks {', '.join(sorted(missing))}.")
    return card


def compare_cards(card: Mapping[str, Any], repeated: Mapping[str, Any]) -> Agreement:
    """Compare a ``repeated`` result with a ``card``: panel, student, settings, and success within the interval."""
    differences = []
    for part in ("panel", "student", "protocol"):
        wanted, found = _identity(card, part), _identity(repeated, part)
        if wanted != found:
            differences.append(f"The {part} differs: {wanted} in the card, {found} here.")
    settings, others = card["settings"], repeated["settings"]
    changed = [
        name
        for name in sorted(settings.keys() | others.keys())
        if settings.get(name) != others.get(name) and _counts(name)
    ]
    notes = [f"{name} was {settings.get(name)}, now {others.get(name)}." for name in changed]
    (low, high), rate = card["result"]["success_ci95"], repeated["result"]["success_rate"]
    other_tasks = [task for task, values in card["tasks"].items() if repeated["tasks"].get(task) != values]
    within = low - 1e-9 <= rate <= high + 1e-9
    lines = [
        *differences,
        *notes,
        f"Success {rate:.1%} here, {card['result']['success_rate']:.1%} in the card "
        f"(95 % interval {low:.1%} to {high:.1%}): {'within' if within else 'outside'} the interval.",
        f"{len(other_tasks)} of {len(card['tasks'])} tasks have other results"
        + (f", first {other_tasks[0]}." if other_tasks else "."),
    ]
    agrees = within and not differences
    return Agreement(agrees=agrees, identical=agrees and not other_tasks, lines=lines)


def _success_by(part: str, results: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the mean success by task type or environment, a ``part`` of the results; of those that all runs have."""
    parts: list[Mapping[str, Any]] = [result.get(part, {}) for result in results]
    names = [name for name in parts[0] if all(name in each for each in parts)]
    return {name: fmean(float(each[name]["success_rate"]) for each in parts) for name in names}


def _over_seeds(rates: Sequence[float]) -> list[float] | None:
    """Return the 95 % interval of the mean success over seeds (Student's t, cut to [0, 1]); None for one seed."""
    return [min(1.0, max(0.0, end)) for end in mean_interval(rates)] if len(rates) > 1 else None


def _arguments(run: Run) -> list[str]:
    """Return the settings that were given for this run, as on the command line, without its folder and seed."""
    overrides = run.provenance.get("overrides", [])
    return [word for word in overrides if not word.startswith(("run_dir=", "evaluation.panel_seed="))]


def _identity(card: Mapping[str, Any], part: str) -> object:
    """Return what identifies the panel, student or protocol of a card, without the machine that it was computed on."""
    found = card.get(part)
    return {k: v for k, v in found.items() if k not in _OF_MACHINE} if isinstance(found, Mapping) else found


def _git(run: Run) -> Mapping[str, Any] | None:
    git = run.provenance.get("git")
    return {name: git[name] for name in ("commit", "diff_sha256")} if git else None


def _counts(name: str) -> bool:
    """Return whether a setting can change a result."""
    return name.partition(".")[0] not in (*FREE_SETTINGS, "checkpoint")
