"""What ``leap analyse`` does: the measures of a finished run, or of all runs of a sweep with their statistics."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from leap_exp.analysis.run import MEASURES_FILE, is_run
from leap_exp.analysis.sweep import read_sweep
from leap_exp.analysis.sweep_measures import sweep_measures
from leap_exp.cli.analyse_run import BOUND, CHOICES, READER, UTILITY, Wanted, analyse_run
from leap_exp.config.finished import was_trained
from leap_exp.core.errors import ConfigError
from leap_exp.runs import locked, write_document
from leap_exp.stages.measure import WORLDS, Measure

DEFAULT = (Measure.INFORMATION, Measure.RECOVERABILITY, BOUND)
"""Measures that need no model."""


def analyse(
    folder: Annotated[Path, typer.Argument(help="A run folder, or a folder with several (a sweep).")],
    measures: Annotated[
        str, typer.Option(help=f"Measures, separated by commas: {', '.join(CHOICES)}; empty for none of them.")
    ] = ",".join(DEFAULT),
    rounds: Annotated[str, typer.Option(help="Rounds to measure, separated by commas; all if left out.")] = "",
    worlds: Annotated[int, typer.Option(min=1, help="Most consistent worlds to look at in a step.")] = WORLDS,
    reader: Annotated[
        str, typer.Option(help="Model that reads reasons for the measure reader; the student of round 0 if left out.")
    ] = "",
) -> None:
    """Measure a finished run, or every run of a sweep, and write measures.json.

    A sweep also gets its statistics: interquartile means, comparisons corrected for their number, and which measure
    of the first round predicts final success. docs/measures.md explains every measure.
    """
    wanted = Wanted(measures=_names(measures), rounds=_numbers(rounds), worlds=worlds, reader=reader)
    console = Console()
    if is_run(folder):
        _print_run(folder, _one(folder, wanted, console), console)
        return
    sweep = read_sweep(folder)
    for run in sweep.runs:
        name = run.folder.relative_to(folder)
        if was_trained(run.folder):
            console.print(f"{name}", highlight=False)
            _one(run.folder, wanted, console)
        else:
            console.print(f"{name} was only evaluated: it has no corrections to measure", highlight=False)
    data = sweep_measures(read_sweep(folder))
    write_document(folder / MEASURES_FILE, data)
    _print_sweep(folder, data, console)


def _one(folder: Path, wanted: Wanted, console: Console) -> Mapping[str, Any]:
    """Measure one run, alone in its folder."""

    def show(done: int, total: int) -> None:
        console.print(f"measured {done} of {total} rounds", highlight=False)

    with locked(folder, wait=False):
        return analyse_run(folder, wanted, on_progress=show)


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := [name for name in names if name not in CHOICES]:
        raise ConfigError(f"There is no measure {unknown[0]!r}; choose of: {', '.join(CHOICES)}.")
    return names


def _numbers(text: str) -> list[int] | None:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if wrong := [part for part in parts if not part.isdigit()]:
        raise ConfigError(f"--rounds={text}: {wrong[0]!r} is not the number of a round.")
    return [int(part) for part in parts] or None


def _print_run(folder: Path, data: Mapping[str, Any], console: Console) -> None:
    """Print the figures of all steps together by round: of the held-out sample or, without one, of the other."""
    rounds = data["rounds"]
    figures: dict[str, dict[int, object]] = {}
    for entry in rounds:
        for name, value in _figures(entry):
            figures.setdefault(name, {})[entry["round"]] = value
    table = Table("figure", *(f"round {entry['round']}" for entry in rounds), box=SIMPLE)
    for name, by_round in figures.items():
        table.add_row(name, *(_shown(by_round.get(entry["round"])) for entry in rounds))
    console.print(table)
    for row in data.get(BOUND, ()):
        console.print(
            f"bound after {row['rounds']} rounds: J/T {row['right'] + row['slack']:.4f} >= {row['right']:.4f} "
            f"(H {row['recoverability']:.3f}, epsilon {row['epsilon']:.3f}, gamma {row['gamma']:.3f}): "
            f"{'holds' if row['holds'] else 'does not hold'}",
            highlight=False,
        )
    _print_path(folder, console)


def _figures(entry: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    for measure, found in entry.items():
        if measure == "round" or found is None:
            continue
        flat = measure in (UTILITY, READER)
        rows = [] if flat else found.get("heldout") or found.get("train") or []
        for figure, value in (found if flat else rows[0] if rows else {}).items():
            if figure != "depth":
                yield f"{measure} {figure}", value


def _print_sweep(folder: Path, data: Mapping[str, Any], console: Console) -> None:
    arms = Table("arm", "success", "interquartile mean", "mean over tasks", box=SIMPLE)
    for label, arm in data["arms"].items():
        arms.add_row(
            label, _shown(arm["success"]), _interval(arm["interquartile_mean"]), _interval(arm["mean_over_tasks"])
        )
    console.print(arms)
    comparisons = Table("arm", "against", "difference", "p", "p (Holm)", "P(better)", box=SIMPLE)
    for each in data["comparisons"]:
        difference = f"{each['difference']:+.3f} ({each['low']:+.3f} to {each['high']:+.3f})"
        better = each["probability_of_improvement"]
        shown = "" if better is None else _interval(better)
        comparisons.add_row(
            each["arm"], each["against"], difference, f"{each['p']:.4f}", f"{each['p_holm']:.4f}", shown
        )
    console.print(comparisons)
    console.print(data["prediction"]["sentence"], highlight=False)
    _print_path(folder, console)


def _interval(estimate: Mapping[str, float]) -> str:
    return f"{estimate['value']:.3f} ({estimate['low']:.3f} to {estimate['high']:.3f})"


def _shown(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else "" if value is None else str(value)


def _print_path(folder: Path, console: Console) -> None:
    console.print(f"Measures: {folder / MEASURES_FILE}", highlight=False, soft_wrap=True)
