"""A saved view of W&B with the panels of a report, for the runs of a sweep or a single one."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import wandb
from wandb_workspaces.reports import v2 as panels
from wandb_workspaces.workspaces import (
    And,
    Config,
    FilterExpr,
    Metric,
    RunsetSettings,
    Section,
    Workspace,
    WorkspaceSettings,
)

from leap_exp.analysis.arm_measures import arm_bound
from leap_exp.analysis.ladder import read_ladder
from leap_exp.analysis.run import is_run
from leap_exp.analysis.sweep import Sweep, read_sweep
from leap_exp.core.errors import ConfigError, ProviderError
from leap_exp.report.arm_charts import ArmAxis, measure_metrics, success_by_arm
from leap_exp.report.page import Table
from leap_exp.report.sweep_tables import bound_table
from leap_exp.runs import read_document, short_name
from leap_exp.tracking.wandb import TRAINING_STEP, WANDB_FILE, wandb_mode

_SUCCESS = "evaluate/success_rate"
_COSTS = ("/tokens_in_count", "/tokens_out_count", "/cost_dollars", "train/tokens_count")
"""How the metrics end that say what a round cost."""

Panel: TypeAlias = Any
"""A panel of the library, which has no types for what several kinds have in common."""


def save_workspace(folder: Path) -> str:
    """Save the workspace of the run or sweep in ``folder`` and return its address.

    Raises:
        StoreError: No round of any run is finished.
        ConfigError: The runs were not logged to W&B, or there is no account.
        ProviderError: W&B refused the view, or cannot be reached.
    """
    sweep = read_sweep(folder)
    if wandb_mode() != "online":
        raise ConfigError("A workspace is saved on the server of W&B, which needs an account: set WANDB_API_KEY.")
    settings = sweep.runs[0].config
    if settings.get("tracker.name") != "wandb":
        raise ConfigError(f"{folder} was not logged to W&B: its runs have tracker={settings.get('tracker.name')}.")
    if is_run(folder):
        shown = Metric("ID") == read_document(folder / WANDB_FILE)["id"]
    else:
        shown = Metric("Group") == short_name(str(settings["tracker.group"] or sweep.name))
    try:
        entity = settings["tracker.entity"] or wandb.Api().default_entity or ""
        workspace = make_workspace(sweep, entity=entity, project=settings["tracker.project"], shown=shown)
        return str(workspace.save().url)
    except Exception as error:
        raise ProviderError(f"W&B did not save the workspace: {error}") from error


def make_workspace(sweep: Sweep, *, entity: str, project: str, shown: FilterExpr) -> Workspace:
    """Return the workspace of a sweep; nothing is sent before it is saved.

    Runs are grouped by what distinguishes the arms, so that every panel shows the mean of an arm. What W&B does not
    have, the trade-off curve with its intervals and the bound, is there as tables.

    Args:
        sweep: The runs; sections whose data they lack are left out.
        entity: W&B team or user.
        project: W&B project.
        shown: Selects the runs.
    """
    logged = {name for run in sweep.runs for name in run.metric_names}
    sections = {
        "Success": list(_success(sweep)),
        "Learning curves": list(_learning_curves(sweep, logged)),
        "Measures": list(_measures(sweep, logged)),
        "Bound": list(_bound(sweep)),
        "Task types": list(_kinds(logged)),
        "Cost": [_by_arm(name, name) for name in sorted(logged) if name.endswith(_COSTS)],
        "Trajectories": [panels.WeavePanelSummaryTable(table_name="evaluate/trajectories")],
    }
    return Workspace(
        entity=entity,
        project=project,
        name=f"{sweep.name}: LEAP report",
        sections=[
            Section(name=name, panels=found, is_open=name != "Cost") for name, found in sections.items() if found
        ],
        settings=WorkspaceSettings(x_axis="round", max_runs=100),
        runset_settings=RunsetSettings(filters=And(shown), groupby=[Config(key) for key in sweep.keys]),
    )


def _by_arm(title: str, *metrics: str) -> Panel:
    """Return bars of the last values of ``metrics``."""
    return panels.BarPlot(
        title=title, metrics=list(metrics), groupby_aggfunc="mean", groupby_rangefunc="stderr", max_bars_to_show=100
    )


def _by_round(title: str, metric: str, *, x: str = "round") -> Panel:
    return panels.LinePlot(
        title=title, x=x, y=[metric], groupby_aggfunc="mean", groupby_rangefunc="stderr", max_runs_to_show=100
    )


def _success(sweep: Sweep) -> Iterator[Panel]:
    if len(sweep.groups) > 1:
        by_arm = success_by_arm(ArmAxis.of(sweep, read_ladder(sweep)), sweep)
        yield panels.MarkdownPanel(markdown=_markdown("arm", by_arm.table))
    yield _by_arm("Success in the last round", _SUCCESS)
    yield _by_round("Success on the panel", _SUCCESS)


def _learning_curves(sweep: Sweep, logged: set[str]) -> Iterator[Panel]:
    if any(any(losses) for run in sweep.runs for losses in run.losses()):
        yield _by_round("Loss by optimizer step", "train_step/loss", x=TRAINING_STEP)
    for name in sorted(logged):
        if name.startswith("train/") and "loss" in name:
            yield _by_round(name.removeprefix("train/"), name)


def _measures(sweep: Sweep, logged: set[str]) -> Iterator[Panel]:
    for metric, title in measure_metrics(sweep):
        if metric in logged:
            yield _by_arm(f"{title}, last round", metric)
            yield _by_round(title, metric)


def _bound(sweep: Sweep) -> Iterator[Panel]:
    bounds = {group.label: bound for group in sweep.groups if (bound := arm_bound(group.runs)) is not None}
    if bounds:
        yield panels.MarkdownPanel(markdown=_markdown("arm", bound_table(bounds)))


def _kinds(logged: set[str]) -> Iterator[Panel]:
    if kinds := sorted(name for name in logged if name.startswith(f"{_SUCCESS}/")):
        yield _by_arm("Success by type of task", *kinds)


def _markdown(corner: str, table: Table) -> str:
    rows: Sequence[Sequence[str]] = [
        [corner, *table.columns],
        ["---", *("---:" for _ in table.columns)],
        *([name, *cells] for name, cells in table.rows),
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
