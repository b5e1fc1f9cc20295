"""The tables of a sweep's page."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from leap_exp.analysis.arm_measures import ArmBound
from leap_exp.analysis.arms import Arm, comparisons
from leap_exp.analysis.cost import UNITS, ArmCost
from leap_exp.analysis.sweep import Group, Sweep
from leap_exp.report.arm_charts import measure_metrics
from leap_exp.report.card_page import COSTS
from leap_exp.report.page import MISSING, Cell, SortableTable, Table, numbers, percent, points, spread


def arms_table(sweep: Sweep, costs: Mapping[str, ArmCost]) -> SortableTable:
    """Return the table of all arms, with a column for each figure that some arm has."""
    rounds = [group.rounds[-1] for group in sweep.groups]
    gains = [group.comparison for group in sweep.groups]
    columns: list[tuple[str, Sequence[Cell]]] = [
        ("success", _cells([each.success_mean for each in rounds], percent)),
        ("95 % interval", [_interval(*each.success_ci95) for each in rounds]),
    ]
    if any(gains):
        columns += [
            ("gain over cloning (points)", _cells([gain.difference if gain else None for gain in gains], points)),
            ("p", _cells([gain.p if gain else None for gain in gains], lambda p: f"{p:.4f}")),
        ]
    columns += [
        ("score", _numbers([each.score_mean for each in rounds])),
        ("steps", _numbers([each.steps_mean for each in rounds])),
        ("invalid actions", _cells([each.invalid_action_rate for each in rounds], percent)),
    ]
    for metric, title in measure_metrics(sweep):
        values = [mean.mean if (mean := group.measures.get(metric)) else None for group in sweep.groups]
        columns.append((title, _cells(values, percent) if metric.endswith("share") else _numbers(values)))
    for name, (heading, _) in COSTS.items():
        values = [costs[group.label].per_run[name] for group in sweep.groups]
        if any(values):
            columns.append((heading, _numbers(values)))
    columns.append(("seeds", _numbers([float(len(group.runs)) for group in sweep.groups])))
    return SortableTable(
        columns=[heading for heading, _ in columns],
        rows=[(group.label, [cells[place] for _, cells in columns]) for place, group in enumerate(sweep.groups)],
    )


def _interval(low: float, high: float) -> Cell:
    return Cell(text=spread(low, high, percent), value=low, mark="aside")


def _cells(values: Sequence[float | None], form: Callable[[float], str]) -> list[Cell]:
    return [Cell(text=MISSING if value is None else form(value), value=value) for value in values]


def _numbers(values: Sequence[float | None]) -> list[Cell]:
    return [Cell(text=text, value=value) for text, value in zip(numbers(values), values, strict=True)]


def tests_table(sweep: Sweep, arms: Sequence[Arm], analysed: Mapping[str, Any]) -> SortableTable | None:
    """Return the table of the comparisons of a sweep; None without any.

    Args:
        sweep: The sweep.
        arms: Its arms beside a baseline.
        analysed: What ``leap analyse`` has written for the sweep: p-values corrected for the number of tests.
    """
    pairs = comparisons(sweep, arms)
    if not pairs:
        return None
    stored = {(each["arm"], each["against"]): each for each in analysed.get("comparisons", ())}
    rows = []
    for arm, against, each in pairs:
        found = stored.get((arm, against), {})
        better = found.get("probability_of_improvement")
        cells = [
            Cell(text=against, value=None),
            Cell(text=percent(each.before), value=each.before),
            Cell(text=percent(each.after), value=each.after),
            Cell(text=points(each.difference), value=each.difference, mark="good" if each.difference >= 0 else "bad"),
            Cell(text=spread(each.low, each.high, points), value=each.low, mark="aside"),
            Cell(text=f"{each.p:.4f}", value=each.p),
        ]
        if stored:
            p = found.get("p_holm")
            cells.append(Cell(text=MISSING if p is None else f"{p:.4f}", value=p))
            cells.append(
                Cell(
                    text=f"{better['value']:.2f} ({spread(better['low'], better['high'], lambda v: f'{v:.2f}')})",
                    value=better["value"],
                )
                if better
                else Cell(text=MISSING, value=None)
            )
        rows.append((arm, [*cells, Cell(text=str(each.tasks), value=each.tasks)]))
    corrected = ["p (Holm)", "P(better)"] if stored else []
    columns = [
        "against",
        "its success",
        "arm's success",
        "difference (points)",
        "95 % interval",
        "p",
        *corrected,
        "tasks",
    ]
    return SortableTable(columns=columns, rows=rows)


def rounds_table(sweep: Sweep) -> Table:
    """Return the table of mean success and its interval, with a row per group and a column per round."""
    longest = max((group.rounds for group in sweep.groups), key=len)
    rows = []
    for group in sweep.groups:
        cells = [
            f"{percent(entry.success_mean)} ({100 * entry.success_ci95[0]:.0f} to {100 * entry.success_ci95[1]:.0f})"
            for entry in group.rounds
        ]
        rows.append((group.label, cells + [""] * (len(longest) - len(cells))))
    return Table(columns=[entry.label for entry in longest], rows=rows)


def heat_map(sweep: Sweep) -> list[tuple[str, int, list[float | None]]]:
    """Return the success in the last round by type of task: its name, its tasks, and the share of each arm."""
    kinds = sorted({kind for group in sweep.groups for kind in group.rounds[-1].success_by_kind})
    return [
        (
            kind,
            max(_tasks(group, kind) for group in sweep.groups),
            [group.rounds[-1].success_by_kind.get(kind) for group in sweep.groups],
        )
        for kind in kinds
    ]


def _tasks(group: Group, kind: str) -> int:
    of_kind = group.runs[0].rounds[len(group.rounds) - 1]["per_task_type"].get(kind)
    return int(of_kind["n"]) if of_kind else 0


def bound_table(bounds: Mapping[str, ArmBound]) -> Table:
    """Return the table of the bound's terms, with a row per arm."""
    columns = ["best student", "teacher", "H", "ε", "H·ε", "gamma", "bound", "rounds", "holds for"]
    rows = []
    for label, bound in bounds.items():
        terms = (bound.best, bound.teacher, bound.recoverability, bound.epsilon, bound.gap, bound.regret, bound.right)
        cells = [f"{term.mean:.4f}".replace("-", "\N{MINUS SIGN}") for term in terms]
        seeds = f"{bound.holds} of {bound.seeds} {'seed' if bound.seeds == 1 else 'seeds'}"
        rows.append((label, [*cells, str(bound.rounds), seeds]))
    return Table(columns=columns, rows=rows)


def _per(gained: float) -> str:
    """Format a gain for each unit of a cost in percentage points: three digits, or whole."""
    value = 100 * gained
    text = f"{value:+,.0f}" if abs(value) >= 100 else f"{value:+.3g}"
    return text.replace("-", "\N{MINUS SIGN}")


def cost_table(sweep: Sweep, costs: Mapping[str, ArmCost]) -> SortableTable:
    """Return the table of what a run of each arm cost and gained, without costs that no arm has."""
    used = [name for name in UNITS if any(cost.per_run[name] for cost in costs.values())]
    columns = ["gained (points)"]
    cells: list[list[Cell]] = [_cells([costs[group.label].gained for group in sweep.groups], points)]
    for name in used:
        heading, unit = COSTS[name]
        columns += [heading, f"points per {unit}"]
        cells.append(_numbers([costs[group.label].per_run[name] for group in sweep.groups]))
        per = [costs[group.label].gained_per[name] for group in sweep.groups]
        cells.append(_cells(per, _per))
    rows = [(group.label, [column[place] for column in cells]) for place, group in enumerate(sweep.groups)]
    return SortableTable(columns=columns, rows=rows)
