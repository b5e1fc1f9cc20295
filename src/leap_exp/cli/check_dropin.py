"""``leap check dropin``: compare the drop-ins for the original environments with the originals, step by step."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from leap_exp.core.errors import ConfigError
from leap_exp.envs.alfworld.config import AlfworldConfig
from leap_exp.envs.alfworld.library import open_library
from leap_exp.envs.intercode_bash.engine.sandbox import BaseKind
from leap_exp.envs.webshop.engine.authors_files import build_catalogue, find_files
from leap_exp.envs.webshop.engine.catalogue import Catalogue
from leap_exp.envs.webshop.engine.nouns import WordTagger
from leap_exp.interfaces.alfworld_check import BatchReport, compare_environments, configuration, write_games
from leap_exp.interfaces.intercode_check import compare_with_package
from leap_exp.interfaces.webshop_check import replay_in_environment

_REPORT_SECONDS = 20.0
_BATCH = 4


def dropin(
    games: Annotated[
        str | None, typer.Option(help="Play these ALFWorld games: builtin, official or a folder of game files.")
    ] = None,
    golden: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Replay the WebShop episodes recorded in this folder.")
    ] = None,
    runs: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="Replay the InterCode-Bash runs logged in this folder (needs intercode-bench)."
        ),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="FOLDER", help="The authors' files for the episodes or runs (default: beside them)."
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Only so many games, spread evenly, or episodes of each file of runs.")
    ] = None,
    steps: Annotated[int, typer.Option(help="Commands per ALFWorld game.")] = 40,
    expert: Annotated[str, typer.Option(help="ALFWorld's expert: handcoded or planner.")] = "handcoded",
    seed: Annotated[int, typer.Option(help="Seed of commands and of the order of games.")] = 0,
) -> int:
    """Compare the drop-ins for AlfredTWEnv, WebAgentTextEnv and BashEnv with the originals; return 1 if any differs."""
    if not (games or golden or runs):
        raise ConfigError("Give at least one of --games, --golden and --runs.")
    differences = 0
    if games:
        differences += _check_games(games, limit=limit, steps=steps, expert=expert, seed=seed)
    if golden:
        differences += _check_episodes(golden, source or golden.resolve().parent)
    if runs:
        differences += _check_runs(runs, source or runs.resolve().parent, limit)
    return int(differences > 0)


def _check_games(games: str, *, limit: int | None, steps: int, expert: str, seed: int) -> int:
    """Play the games in a training split, with shuffled names there, and in batches of an evaluation split."""
    found = 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        count = write_games(open_library(AlfworldConfig(games=games)), folder, limit=limit)
        for name, split, shuffle, batch_size in (
            (f"train, {expert} expert", "train", False, 1),
            (f"train, {expert} expert, shuffled names", "train", True, 1),
            (f"evaluation, batches of {_BATCH}", "eval_out_of_distribution", False, _BATCH),
        ):
            config = configuration(folder, expert=expert, steps=steps, shuffle=shuffle)
            reports: list[BatchReport] = []
            shown = time.monotonic()
            for report in compare_environments(
                config, games=count, steps=steps, seed=seed, batch_size=batch_size, train_eval=split
            ):
                reports.append(report)
                for line in report.differences:
                    print(line, flush=True)
                if time.monotonic() > shown + _REPORT_SECONDS:
                    shown = time.monotonic()
                    print(_summary(name, reports), flush=True)
            print(_summary(name, reports), flush=True)
            found += sum(len(report.differences) for report in reports)
    return found


def _summary(name: str, reports: Sequence[BatchReport]) -> str:
    differences = sum(len(report.differences) for report in reports)
    games, commands = (sum(getattr(report, field) for report in reports) for field in ("games", "commands"))
    return f"AlfredTWEnv ({name}): {differences} differences in {games} games, {commands} commands"


def _check_episodes(golden: Path, source: Path) -> int:
    steps: list[int] = []
    count = 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "catalogue"
        # The recordings count every alphabetic word as a noun, even if spaCy is installed here.
        build_catalogue(folder, find_files(source, "1000"), tagger=WordTagger())
        for difference in replay_in_environment(golden, Catalogue(folder), steps.append):
            count += 1
            print(difference, flush=True)
    print(f"WebAgentTextEnv: {count} differences in {len(steps)} episodes, {sum(steps)} steps, and in the goals")
    return count


def _check_runs(runs: Path, source: Path, limit: int | None) -> int:
    actions = different = explained = 0
    for action in compare_with_package(runs, source, limit=limit, base=BaseKind.HOST):
        actions += 1
        different += bool(action.differences)
        explained += bool(action.differences) and action.same_normalised
        for line in action.differences:
            print(f"{action.where}: {line}", flush=True)
    print(f"BashEnv: {different} of {actions} actions differ, {explained} of them only in times, inodes and the like")
    return different
