"""What a run shows on the terminal: its progress, and tables of its results at the end."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich import progress
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from leap_exp.core.protocols import ProgressCallback
from leap_exp.runs import Progress

STAGE_TITLES = {
    "trajectories": "rollout",
    "corrections": "correct",
    "examples": "aggregate",
    "logprobs_before": "probe before training",
    "student": "train",
    "logprobs_after": "probe after training",
    "measures": "measure",
    "evaluation": "evaluate",
}
LINE_EVERY_SECONDS = 5.0
UNCHANGED_LINE_EVERY_SECONDS = 30.0
USAGE_FIGURES = {
    "replies_count": ("answered", "{:,.0f}"),
    "failures_count": ("failed", "{:,.0f}"),
    "truncated_count": ("cut off", "{:,.0f}"),
    "cache_hits_count": ("from the cache", "{:,.0f}"),
    "retries_count": ("retries", "{:,.0f}"),
    "tokens_in_count": ("tokens in", "{:,.0f}"),
    "tokens_out_count": ("tokens out", "{:,.0f}"),
    "cost_dollars": ("cost", "${:,.4f}"),
    "paid_dollars": ("paid now", "${:,.4f}"),
    "latency_p50_seconds": ("median latency", "{:.1f} s"),
    "latency_p95_seconds": ("95 % latency", "{:.1f} s"),
}
"""Rows of the table of language models: the figure, its heading and its format."""


class ConsoleProgress(Progress):
    """Shows progress bars on a terminal, and occasional lines elsewhere."""

    def __init__(self, console: Console, *, rounds: int) -> None:
        self._console = console
        self._rounds = rounds

    @contextmanager
    def stage(self, name: str, *, round_index: int) -> Iterator[ProgressCallback]:
        """Show a stage while the context is open, and one line after it."""
        title = f"round {round_index}/{self._rounds}  {STAGE_TITLES.get(name, name)}"
        start = time.monotonic()
        with self._bar(title) if self._console.is_terminal else self._lines(title) as on_progress:
            yield on_progress
        self._console.print(f"{title}: done in {_clock(time.monotonic() - start)}", highlight=False)

    @contextmanager
    def _bar(self, title: str) -> Iterator[ProgressCallback]:
        columns = (
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeElapsedColumn(),
            progress.TimeRemainingColumn(),
        )
        with progress.Progress(*columns, console=self._console, transient=True) as bar:
            task = bar.add_task(title, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)

    @contextmanager
    def _lines(self, title: str) -> Iterator[ProgressCallback]:
        start = last = time.monotonic()
        last_done = 0

        def show(done: int, total: int) -> None:
            nonlocal last, last_done
            now = time.monotonic()
            if now - last >= (LINE_EVERY_SECONDS if done > last_done else UNCHANGED_LINE_EVERY_SECONDS):
                last, last_done = now, done
                left = f", about {_clock((now - start) / done * (total - done))} left" if done else ""
                self._console.print(f"{title}: {done}/{total}{left}", highlight=False)

        yield show


def result_table(rounds: Sequence[Mapping[str, Any]], *, trained: bool) -> Table:
    """Return a table of results by round, from the entries of summary.json; round 0 of a training run is cloning.

    Below each round of several joined environments are those of each.
    """
    first = rounds[0]
    title = f"{first['split']}, {first['n'] + first['unscored']} tasks, panel {first['panel_hash'][:12]}"
    table = Table(title=title, title_justify="left", box=SIMPLE)
    table.add_column("round", no_wrap=True)
    cut_off = [f"{entry['cut_off_answers']} (round {entry['round']})" for entry in rounds if "cut_off_answers" in entry]
    if cut_off:
        table.caption = f"Answers cut off before their action was complete: {', '.join(cut_off)}"
        table.caption_justify = "left"
    for column in ("success", "95 % interval", "score", "steps", "invalid", "unscored"):
        table.add_column(column, justify="right", no_wrap=True)
    for entry in rounds:
        cloned = " (cloning)" if trained and entry["round"] == 0 else ""
        table.add_row(f"{entry['round']}{cloned}", *_results(entry))
        for name, each in entry.get("per_environment", {}).items():
            table.add_row(f"  {name}", *_results(each))
    return table


def _results(entry: Mapping[str, Any]) -> list[str]:
    """Return the cells of a row of results."""
    low, high = entry["success_ci95"]
    return [
        f"{entry['success_rate']:.1%}",
        f"{low:.1%} to {high:.1%}",
        f"{entry['score_mean']:.3f}",
        f"{entry['steps_mean']:.1f}",
        f"{entry['invalid_action_rate']:.1%}",
        str(entry["unscored"]),
    ]


def usage_table(metrics: Mapping[int, Mapping[str, float]], timings: Sequence[Mapping[str, Any]]) -> Table | None:
    """Return a table of the usage of language models by stage, from metrics.jsonl and timings.jsonl; None if unused.

    If a stage was interrupted and resumed, payment, cache, retries and latency are those of the last process.
    """
    figures: dict[tuple[int, str], dict[str, float]] = {}
    lines = [*metrics.items(), *((line["round"], line["metrics"]) for line in timings if "metrics" in line)]
    for index, values in lines:
        for name, value in values.items():
            if name.startswith("llm/"):
                _, stage, figure = name.split("/")
                figures.setdefault((index, stage), {})[figure] = value
    # A student in this process has tokens, but no server that answers.
    figures = {stage: values for stage, values in figures.items() if "replies_count" in values}
    if not figures:
        return None
    table = Table(title="Language models", title_justify="left", box=SIMPLE)
    table.add_column("round", no_wrap=True)
    for index, stage in figures:
        table.add_column(f"{index} {stage}", justify="right")
    for figure, (heading, form) in USAGE_FIGURES.items():
        table.add_row(heading, *(form.format(of[figure]) if figure in of else "-" for of in figures.values()))
    return table


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
