"""A run folder as a report needs it."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from leap_exp.core.errors import StoreError
from leap_exp.core.types import Trajectory
from leap_exp.store import read_document, read_lines, read_metrics, read_records, round_name


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a run folder says of itself; ``rounds`` are the entries of summary.json, one a finished round."""

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

    @cached_property
    def scores(self) -> list[dict[str, float]]:
        """Success (1 or 0) of each scored panel task, a round each."""
        return [
            {
                trajectory.task.id: float(trajectory.succeeded)
                for trajectory in read_records(self.folder / round_name(entry["round"]) / "evaluation.jsonl").of(
                    Trajectory
                )
                if trajectory.score is not None
            }
            for entry in self.rounds
        ]

    @property
    def round_labels(self) -> list[str]:
        """What the rounds are called: behaviour cloning, then their numbers; a run without training has one policy."""
        if not (self.folder / round_name(0) / "student").exists():
            return ["policy"]
        return ["BC", *(str(entry["round"]) for entry in self.rounds[1:])]

    def series(self, metric: str) -> list[tuple[int, float]]:
        """The rounds that have ``metric``, as (place in ``rounds``, value)."""
        values = [(place, self.metrics.get(entry["round"], {}).get(metric)) for place, entry in enumerate(self.rounds)]
        return [(place, value) for place, value in values if value is not None and not math.isnan(value)]


def is_run(folder: Path) -> bool:
    """Whether ``folder`` is a run folder with at least one finished round."""
    return (folder / "summary.json").is_file()


def read_run(folder: Path) -> Run:
    """Read the run in ``folder``; raises StoreError if no round is finished or a file is broken."""
    if not is_run(folder):
        raise StoreError(f"{folder} has no summary.json: no round of a run is finished there; give a run's folder.")
    config_path = folder / "config.yaml"
    try:
        config_text = config_path.read_text(encoding="utf-8")
    except OSError as error:
        raise StoreError(f"Cannot read {config_path}: {error}.") from error
    provenance_path = folder / "provenance.json"
    return Run(
        folder=folder,
        config=flatten(OmegaConf.to_container(OmegaConf.create(config_text))),
        config_text=config_text,
        provenance=read_document(provenance_path) if provenance_path.exists() else {},
        rounds=read_document(folder / "summary.json")["rounds"],
        metrics=read_metrics(folder),
        timings=read_lines(folder / "timings.jsonl"),
    )


def flatten(tree: object, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dotted keys."""
    if not isinstance(tree, Mapping):
        return {prefix: tree}
    items: dict[str, Any] = {}
    for key, value in tree.items():
        items |= flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return items


def natural_key(text: str) -> list[tuple[int, str]]:
    """A sorting key that puts "p25" before "p100"."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text)]
