"""What a run has cost, and how much success it gained for that."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from operator import add
from statistics import fmean

from leap_exp.analysis.run import Run
from leap_exp.core.types import Correction
from leap_exp.runs import read_records, round_name

UNITS: Mapping[str, float] = {
    "labels": 1_000,
    "tokens_read": 1e6,
    "tokens_written": 1e6,
    "core_seconds": 3600,
    "gpu_seconds": 3600,
    "dollars": 1,
}
"""How much of each cost the gain is divided by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What was used.

    Attributes:
        labels: Decisions of the expert and the teacher that the student was trained on, each counted once.
        tokens_read: Tokens of the prompts of models that act or teach, and of training's optimizer steps.
        tokens_written: Tokens of the answers of models that act or teach.
        core_seconds: Processor time of the run's process and of those that it started, summed over cores.
        gpu_seconds: Seconds of the stages times the number of accelerators; 0 without one.
        dollars: What models behind servers cost by their prices, cached answers included.
    """

    labels: int
    tokens_read: float
    tokens_written: float
    core_seconds: float
    gpu_seconds: float
    dollars: float

    def __add__(self, other: "Cost") -> "Cost":
        """Return the sum."""
        one, two = asdict(self), asdict(other)
        return Cost(**{name: one[name] + two[name] for name in one})


def cost(run: Run) -> Cost:
    """Return what all rounds of ``run`` have cost. A shared round 0 (``pi_0``) counts in full."""
    figures = {
        name: sum(value for metrics in run.metrics.values() for key, value in metrics.items() if key.endswith(name))
        for name in ("/tokens_in_count", "/tokens_out_count", "/cost_dollars")
    }
    trained = sum(metrics.get("train/tokens_count", 0.0) for metrics in run.metrics.values())
    stages = [line for line in run.timings if "seconds" in line]
    accelerators = len((run.provenance.get("student") or {}).get("accelerators") or ())
    return Cost(
        labels=sum(_labels(run, entry["round"]) for entry in run.rounds),
        tokens_read=figures["/tokens_in_count"] + trained,
        tokens_written=figures["/tokens_out_count"],
        core_seconds=round(sum(line.get("core_seconds", 0.0) for line in stages), 1),
        gpu_seconds=round(accelerators * sum(line["seconds"] for line in stages), 1),
        dollars=figures["/cost_dollars"],
    )


def gain(run: Run) -> float | None:
    """Return the success rate of the last round minus that of round 0; None if only one round was run."""
    if len(run.rounds) < 2:
        return None
    return float(run.rounds[-1]["success_rate"]) - float(run.rounds[0]["success_rate"])


def gain_per_cost(gained: float | None, spent: Cost) -> dict[str, float | None]:
    """Return ``gained`` for each unit (``UNITS``) of each cost; None where nothing was gained or spent."""
    amounts = asdict(spent)
    return {
        name: None if gained is None or not amounts[name] else gained * unit / amounts[name]
        for name, unit in UNITS.items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmCost:
    """What the runs of an arm have cost, and what they gained for that.

    Attributes:
        per_run: Mean cost of a run, by name (``UNITS``).
        gained: Mean gain of a run; None if there was only one round.
        gained_per: The gain for each unit of each cost; None where nothing was gained or spent.
    """

    per_run: Mapping[str, float]
    gained: float | None
    gained_per: Mapping[str, float | None]


def arm_cost(runs: Sequence[Run]) -> ArmCost:
    """Return the cost of runs that differ in the seed alone."""
    spent = reduce(add, map(cost, runs))
    gains = [gained for run in runs if (gained := gain(run)) is not None]
    return ArmCost(
        per_run={name: value / len(runs) for name, value in asdict(spent).items()},
        gained=fmean(gains) if gains else None,
        gained_per=gain_per_cost(sum(gains) if gains else None, spent),
    )


def _labels(run: Run, index: int) -> int:
    path = run.folder / round_name(index) / "corrections.jsonl"
    return sum(len(each.learnt_steps) for each in read_records(path).of(Correction)) if path.exists() else 0
