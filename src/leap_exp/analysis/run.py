"""A run folder as tables: its configuration, its rounds and their metrics."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

from leap_exp.analysis.statistics import Comparison, compare
from leap_exp.core.errors import StoreError
from leap_exp.core.types import Trajectory
from leap_exp.runs import TRAIN_LOG, read_config, read_document, read_lines, read_metrics, read_records, round_name

ROUND_FIELDS = frozenset(
    {
        *("round", "split", "panel_hash", "n", "unscored", "success_rate", "success_ci95"),
        *("score_mean", "steps_mean", "invalid_action_rate", "per_task_type"),
    }
)
"""What every round's entry in summary.json must have."""

MEASURES_FILE = "measures.json"
"""In a round's folder what was measured on its probes; in the folder of a run or a sweep, everything together."""

FREE_SETTINGS = ("run_dir", "tracker", "launch", "objective", "measures")
"""Settings that do not change the results of a run."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """The content of a run folder; ``rounds`` are the entries of summary.json, one per finished round."""

    folder: Path
    config: Mapping[str, Any]
    config_text: str
    provenance: Mapping[str, Any]
    rounds: Sequence[Mapping[str, Any]]
    metrics: Mapping[int, Mapping[str, float]]
    timings: Sequence[Mapping[str, Any]]

    @property
    def seed(self) -> int:
        """The run's seed."""
        return int(self.config["seed"])

    @property
    def complete(self) -> bool:
        """Whether all rounds are finished that its settings ask for."""
        return len(self.rounds) > int(self.config.get("rounds", 0))

    @cached_property
    def scores(self) -> list[dict[str, float]]:
        """Success rate of each scored panel task (1 or 0 if it has one episode), one mapping per round."""
        return [success_by_task(self.evaluation(entry["round"])) for entry in self.rounds]

    def evaluation(self, index: int) -> Sequence[Trajectory]:
        """Return the trajectories on the panel in round ``index``."""
        return read_records(self.folder / round_name(index) / "evaluation.jsonl").of(Trajectory)

    @cached_property
    def comparison(self) -> Comparison | None:
        """The last round against behaviour cloning; None if there is only one round."""
        return compare([self.scores[-1]], [self.scores[0]]) if len(self.rounds) > 1 else None

    @property
    def round_labels(self) -> list[str]:
        """Names of the rounds: BC (behaviour cloning), then their numbers; "policy" for a run without training."""
        if not (self.folder / round_name(0) / "student").exists():
            return ["policy"]
        return ["BC", *(str(entry["round"]) for entry in self.rounds[1:])]

    @property
    def metric_names(self) -> list[str]:
        """Names of the metrics that some round has, sorted."""
        return sorted({name for metrics in self.metrics.values() for name in metrics})

    def series(self, metric: str) -> list[tuple[int, float]]:
        """Return the values of ``metric`` as (place in ``rounds``, value), without rounds that lack it."""
        values = [(place, self.metrics.get(entry["round"], {}).get(metric)) for place, entry in enumerate(self.rounds)]
        return [(place, value) for place, value in values if value is not None and not math.isnan(value)]

    def measured(self, index: int) -> dict[str, float]:
        """Return what was measured on the probes of round ``index``, as ``measured_metrics``; {} if nothing was."""
        path = self.folder / round_name(index) / MEASURES_FILE
        return measured_metrics(read_document(path)) if path.is_file() else {}

    @cached_property
    def analysis(self) -> Mapping[str, Any]:
        """What ``leap analyse`` has written for the run: ``rounds`` and, if it was measured, ``bound``; {} without."""
        path = self.folder / MEASURES_FILE
        return read_document(path) if path.is_file() else {}

    def losses(self) -> list[list[float]]:
        """Return the loss of each optimizer step, one list per round; empty where no step was logged.

        A step whose loss is not a number has the loss of the step before.
        """
        found = []
        for entry in self.rounds:
            values: list[float] = []
            for line in read_lines(self.folder / round_name(entry["round"]) / "student" / TRAIN_LOG):
                if line["loss"] is not None:
                    values.append(line["loss"])
                elif values:
                    values.append(values[-1])
            found.append(values)
        return found

    def stage_seconds(self) -> dict[str, list[float | None]]:
        """Return the seconds of each stage, one value per round, and their sums as "all stages".

        The times of a stage that was interrupted and resumed are added up.
        """
        seconds: dict[tuple[str, int], float] = {}
        for line in self.timings:
            if "seconds" in line:
                key = line["stage"], line["round"]
                seconds[key] = seconds.get(key, 0.0) + line["seconds"]
        indices = [entry["round"] for entry in self.rounds]
        table: dict[str, list[float | None]] = {
            stage: [seconds.get((stage, index)) for index in indices]
            for stage in dict.fromkeys(stage for stage, _ in seconds)
        }
        if table:
            table["all stages"] = [sum(value for (_, at), value in seconds.items() if at == index) for index in indices]
        return table


def measured_metrics(measured: Mapping[str, Mapping[str, Sequence[Mapping[str, object]]]]) -> dict[str, float]:
    """Return the figures of all steps together, the first row of each sample, as metrics ``MEASURE/SAMPLE_FIGURE``."""
    return {
        f"{measure}/{sample}_{figure}": float(value)
        for measure, samples in measured.items()
        for sample, rows in samples.items()
        for figure, value in (rows[0] if rows else {}).items()
        if figure not in ("depth", "steps") and isinstance(value, int | float)
    }


def success_by_task(trajectories: Iterable[Trajectory]) -> dict[str, float]:
    """Return the success rate of each task over its scored episodes."""
    found: dict[str, list[float]] = {}
    for trajectory in trajectories:
        if trajectory.score is not None:
            found.setdefault(trajectory.task.id, []).append(float(trajectory.succeeded))
    return {task: fmean(values) for task, values in found.items()}


def is_run(folder: Path) -> bool:
    """Return whether ``folder`` is a run folder with at least one finished round."""
    return (folder / "summary.json").is_file()


def read_run(folder: Path) -> Run:
    """Read the run in ``folder``.

    Raises:
        StoreError: No round is finished, or a file is broken or of another version.
    """
    path = folder / "summary.json"
    if not is_run(folder):
        raise StoreError(f"{folder} has no summary.json, so no round is finished there. Give the folder of a run.")
    rounds = read_document(path).get("rounds", [])
    missing = sorted({name for entry in rounds for name in ROUND_FIELDS - entry.keys()})
    if missing or not rounds:
        raise StoreError(
            f"{path} lacks {', '.join(missing) or 'rounds'}: another version of leap_exp wrote it. Use that version."
        )
    config_path, provenance_path = folder / "config.yaml", folder / "provenance.json"
    config = read_config(config_path)
    return Run(
        folder=folder,
        config=flatten(config),
        config_text=config_path.read_text(encoding="utf-8"),
        provenance=read_document(provenance_path) if provenance_path.exists() else {},
        rounds=rounds,
        metrics=read_metrics(folder),
        timings=read_lines(folder / "timings.jsonl"),
    )


def flatten(tree: object, prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one mapping with dotted keys."""
    if not isinstance(tree, Mapping):
        return {prefix: tree}
    items: dict[str, Any] = {}
    for key, value in tree.items():
        items |= flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return items


def natural_key(text: str) -> list[tuple[int, str]]:
    """Return a sorting key that puts "p25" before "p100"."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text)]
