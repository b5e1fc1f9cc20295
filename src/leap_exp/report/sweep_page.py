"""The report of a sweep: a page, and the results, table and figures that an experiment's folder keeps."""

import csv
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from leap_exp.analysis.arm_measures import arm_bound
from leap_exp.analysis.arms import Arm, arm_results, arms_markdown, comparisons, read_arms
from leap_exp.analysis.cost import arm_cost
from leap_exp.analysis.environments import compare_environments, environments_markdown, environments_results
from leap_exp.analysis.ladder import Ladder, read_ladder
from leap_exp.analysis.run import MEASURES_FILE
from leap_exp.analysis.sweep import Group, Sweep, results, table
from leap_exp.report.arm_charts import ArmAxis, bound_figure, measure_figures, success_by_arm
from leap_exp.report.charts import standalone
from leap_exp.report.learning_curves import loss_figure, success_figure
from leap_exp.report.page import Figure, embed, percent, write_page
from leap_exp.report.side_by_side import side_by_side
from leap_exp.report.sweep_tables import arms_table, bound_table, cost_table, heat_map, rounds_table, tests_table
from leap_exp.runs import read_document, write_document, write_whole


def write_sweep_page(sweep: Sweep, folder: Path) -> Path:
    """Write report.html, results.json, summary.csv and the figures of ``sweep`` into ``folder``.

    If it has arms beside a control, also arms.md, a table of them; if it has a student of several environments beside
    students of one each, environments.md.

    Returns:
        The path of report.html.
    """
    ladder = read_ladder(sweep)
    if ladder is not None:
        sweep = replace(sweep, groups=ladder.arms)
    arms, environments = read_arms(sweep), compare_environments(sweep)
    figures_of = {
        **({"arms": arm_results(arms)} if arms else {}),
        **({"environments": environments_results(environments)} if environments else {}),
    }
    write_document(folder / "results.json", {**results(sweep), **figures_of})
    if environments:
        write_whole(folder / "environments.md", environments_markdown(environments))
    if arms:
        write_whole(folder / "arms.md", arms_markdown(arms, sweep.notes))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(table(sweep, folder))
    write_whole(folder / "summary.csv", [text.getvalue().rstrip("\n")])
    path = folder / "report.html"
    write_page(
        path,
        "sweep.html.j2",
        {**_figures(sweep, ladder, folder), **_tables(sweep, arms, folder), "environments": environments},
    )
    return path


def _figures(sweep: Sweep, ladder: Ladder | None, folder: Path) -> dict[str, object]:
    """Return the charts of the page, and write those that an experiment keeps as SVG files."""
    axis = ArmAxis.of(sweep, ladder)
    several = len(sweep.groups) > 1
    by_arm = success_by_arm(axis, sweep) if several else None
    measures = measure_figures(axis, sweep) if several else {}
    success = success_figure(sweep)
    files: dict[str, Figure] = {"success.svg": success}
    if by_arm is not None:
        files["success_by_group.svg"] = by_arm
    for figures in measures.values():
        files |= {f"{metric.replace('/', '_')}_by_group.svg": figure for metric, figure in figures.items()}
    for name, figure in files.items():
        write_whole(folder / name, [standalone(figure.svg)])
    bounds = {group.label: bound for group in sweep.groups if (bound := arm_bound(group.runs)) is not None}
    return {
        "sweep": sweep,
        "ladder": ladder,
        "finding": _finding(ladder) if ladder else "",
        "by_arm": by_arm,
        "measures": {heading: list(figures.values()) for heading, figures in measures.items()},
        "success": success,
        "losses": loss_figure(sweep),
        "bound": bound_figure(axis, bounds),
        "bounds": bound_table(bounds),
    }


def _tables(sweep: Sweep, arms: Sequence[Arm], folder: Path) -> dict[str, object]:
    analysed, note = _analysed(sweep, arms, folder)
    costs = {group.label: arm_cost(group.runs) for group in sweep.groups}
    beside = side_by_side(sweep)
    return {
        "notes": [*sweep.notes, *([note] if note else [])],
        "arms": arms_table(sweep, costs),
        "tests": tests_table(sweep, arms, analysed),
        "prediction": analysed.get("prediction", {}).get("sentence", ""),
        "rounds": rounds_table(sweep),
        "kinds": heat_map(sweep),
        "cost": cost_table(sweep, costs),
        "side_by_side": embed(beside) if beside else None,
        "links": {run.folder: os.path.relpath(run.folder / "report.html", folder) for run in sweep.runs},
    }


def _analysed(sweep: Sweep, arms: Sequence[Arm], folder: Path) -> tuple[Mapping[str, Any], str]:
    """Return what ``leap analyse`` has written for the sweep, and a note if that is about other results."""
    path = folder / MEASURES_FILE
    if not path.is_file():
        return {}, ""
    analysed = read_document(path)
    stored = {(each["arm"], each["against"]): each["difference"] for each in analysed.get("comparisons", ())}
    if stored != {(arm, against): each.difference for arm, against, each in comparisons(sweep, arms)}:
        return {}, f"Statistics are left out, because {MEASURES_FILE} is about other results: run leap analyse again."
    return analysed, ""


def _finding(ladder: Ladder) -> str:
    """Return in a sentence how good the best level, no privilege and the best control are."""
    levels = [group for curve in ladder.curves for group in curve.arms.values()]
    best = max(levels, key=_success)
    parts = [f"{best.label} ends with {percent(_success(best))} success, the most of all levels"]
    without = [curve.arms[0] for curve in ladder.curves if 0 in curve.arms and curve.arms[0] is not best]
    if without:
        none = max(without, key=_success)
        parts.append(f"{none.label} ends with {percent(_success(none))}")
    if ladder.controls:
        control = max(ladder.controls, key=_success)
        parts.append(f"the best control, {control.label}, with {percent(_success(control))}")
    return "; ".join(parts) + "."


def _success(group: Group) -> float:
    return group.rounds[-1].success_mean
