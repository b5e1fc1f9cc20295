"""The statistics and predictions of a sweep, as plain data."""

from collections.abc import Mapping
from dataclasses import asdict
from statistics import fmean

from leap_exp.analysis.arms import Arm, comparisons, read_arms
from leap_exp.analysis.inference import holm, interquartile_mean, mean_over_tasks, probability_of_improvement
from leap_exp.analysis.prediction import predictions, sentence
from leap_exp.analysis.run import Run
from leap_exp.analysis.sweep import Group, Sweep

_BEFORE_TRAINING = ("_before_nats", "epsilon_before", "agreement_share", "changed_share")
"""How the metrics of realizability end that do not depend on the round's training."""
_NO_PREDICTORS = ("exact_share", "changed", "error_errors", "error_others")
"""Figures of a measure that only say how much was measured."""


def sweep_measures(sweep: Sweep) -> dict[str, object]:
    """Return what the arms of a sweep show, with its statistics, as JSON data.

    - ``arms``: by label, final success as interquartile mean and as mean over tasks, with intervals.
    - ``comparisons``: of each arm with behaviour cloning and with every baseline: difference with interval, p-value,
      the p-value corrected by Holm over all comparisons, and the probability of improvement over baselines.
    - ``prediction``: how well each measure of the first round predicts final success, and a sentence about it.

    Groups that are not complete are left out.
    """
    arms = read_arms(sweep)
    groups = sweep.complete_groups
    measures = {group.label: _means(group) for group in groups}
    names = sorted({name for of_arm in measures.values() for name in of_arm})
    rows = predictions(
        {name: [measures[group.label].get(name) for group in groups] for name in names},
        [group.rounds[-1].success_mean for group in groups],
    )
    return {
        "arms": {
            group.label: {
                "success": group.rounds[-1].success_mean,
                "interquartile_mean": asdict(interquartile_mean(_final_scores(group))),
                "mean_over_tasks": asdict(mean_over_tasks(_final_scores(group))),
                "first_round": measures[group.label],
            }
            for group in groups
        },
        "comparisons": _comparisons(sweep, arms),
        "prediction": {"sentence": sentence(rows), "measures": [asdict(row) for row in rows]},
    }


def first_round_measures(run: Run) -> dict[str, float]:
    """Return what was measured in the first round after cloning, before its training, by name; {} without a round."""
    if len(run.rounds) < 2:
        return {}
    index = run.rounds[1]["round"]
    metrics = run.metrics.get(index, {})
    found = {
        name: value
        for name, value in metrics.items()
        if name == "leakage/share" or (name.startswith("realizability/") and name.endswith(_BEFORE_TRAINING))
    }
    for name, value in run.measured(index).items():
        measure, _, figure = name.partition("/")
        # What training changed is no prediction.
        if measure != "distributions" and figure.partition("_")[2] not in _NO_PREDICTORS:
            found[name] = value
    return found


def _means(group: Group) -> dict[str, float]:
    """Return the means over seeds of the measures that every run of an arm has."""
    by_run = [first_round_measures(run) for run in group.runs]
    names = set.intersection(*(set(each) for each in by_run))
    return {name: fmean(each[name] for each in by_run) for name in sorted(names)}


def _final_scores(group: Group) -> list[Mapping[str, float]]:
    last = len(group.rounds) - 1
    return [run.scores[last] for run in group.runs]


def _comparisons(sweep: Sweep, arms: list[Arm]) -> list[dict[str, object]]:
    scores = {group.label: _final_scores(group) for group in sweep.groups}
    pairs = comparisons(sweep, arms)
    corrected = holm({f"{arm}\n{baseline}": each.p for arm, baseline, each in pairs})
    found: list[dict[str, object]] = []
    for arm, baseline, each in pairs:
        better = None if baseline not in scores else asdict(probability_of_improvement(scores[arm], scores[baseline]))
        figures = {"difference": each.difference, **asdict(each), "p_holm": corrected[f"{arm}\n{baseline}"]}
        found.append({"arm": arm, "against": baseline, **figures, "probability_of_improvement": better})
    return found
