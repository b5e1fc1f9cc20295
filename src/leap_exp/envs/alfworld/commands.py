"""What ALFWorld adds to the command lines: ``leap check``, ``leap bench``, ``leap play`` and ``leap data``."""

import atexit
import gc
import multiprocessing
import random
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from leap_exp.core.errors import DataError
from leap_exp.core.seeding import derive_seed
from leap_exp.envs.alfworld.benchmark import measure_opening
from leap_exp.envs.alfworld.builtin import SPLIT_ROOMS, generate_game
from leap_exp.envs.alfworld.builtin.catalogue import HOUSEHOLDS
from leap_exp.envs.alfworld.config import AlfworldConfig
from leap_exp.envs.alfworld.engine import OpenPlay
from leap_exp.envs.alfworld.engine.compare import Difference, compare_engines
from leap_exp.envs.alfworld.engine.fast import open_fast
from leap_exp.envs.alfworld.engine.game import read_game
from leap_exp.envs.alfworld.engine.textworld import TextWorldPlay, memoised_textworld, require_textworld
from leap_exp.envs.alfworld.environment import AlfworldEnvironment
from leap_exp.envs.alfworld.official import AlfworldData, game_files, official_folder
from leap_exp.envs.contract import contract_violations
from leap_exp.envs.datasets import Dataset
from leap_exp.envs.terminal import choose_task, play_task

DATASETS: Mapping[str, Dataset] = {"alfworld": AlfworldData()}
"""What ``leap data`` installs."""

ORIGINAL_SETTINGS = {"engine": "textworld"}
"""The settings with which the environment runs the original engine."""

# TextWorld leaks memory, so each worker process is replaced after some games.
_GAMES_PER_PROCESS = 100
_REPORT_EVERY = 50

_BENCH_GAMES = 12
_STEPS_PER_EPISODE = 30
_FAST_EPISODES_PER_TURN = 60
"""Episodes of the fast engine for each one of the reference, so that both run for a measurable time."""

_Source = tuple[str, Callable[[], str]]
"""A game's id and a function that returns the text of its file."""


def check(
    games: Annotated[
        Path | None, typer.Option(help="Folder of game files (default: the installed official games).")
    ] = None,
    builtin: Annotated[
        int | None, typer.Option(help="Compare this many built-in games per split and household instead.")
    ] = None,
    steps: Annotated[int, typer.Option(help="Random commands per game, besides its walkthrough.")] = 60,
    seed: Annotated[int, typer.Option(help="Seed of the commands and of built-in games.")] = 0,
    limit: Annotated[
        int | None, typer.Option(help="Compare only this many games, spread evenly over all of them.")
    ] = None,
    processes: Annotated[int, typer.Option(help="Number of worker processes.")] = 1,
) -> int:
    """Compare the fast engine with TextWorld on the same games, and check the contract of environments."""
    violations = contract_violations(AlfworldEnvironment(AlfworldConfig()), "valid_unseen")
    for violation in violations:
        print(violation)
    print(f"{len(violations)} violations of the contract of environments")
    sources = _builtin_sources(builtin, seed) if builtin else _file_sources(games)
    if limit and limit < len(sources):
        sources = [sources[index * len(sources) // limit] for index in range(limit)]
    require_textworld()
    compare = partial(_compare, steps=steps, seed=seed)
    # Spawned workers, unlike forked ones, do not inherit the threads and buffers of this process.
    with multiprocessing.get_context("spawn").Pool(
        processes, initializer=_memoise, maxtasksperchild=_GAMES_PER_PROCESS
    ) as pool:
        differences = _report(pool.imap(compare, sources), games=len(sources), steps=steps)
    return int(bool(violations) or differences > 0)


def bench(
    games: Annotated[Path | None, typer.Option(help="Folder of game files (default: built-in games).")] = None,
    seconds: Annotated[float, typer.Option(help="Approximate duration of the measurement.")] = 60,
) -> dict[str, object]:
    """Measure the fast engine and stock TextWorld in turns on the same games, and opening a folder of games."""
    texts = _bench_texts(games)
    fast, reference = _Timing("fast", open_fast), _Timing("textworld", TextWorldPlay)
    for timing in (fast, reference):
        # Warm up: imports and the shared grammar are loaded once per process.
        timing.episode(texts[0], index=0)
        timing.clear()
    # Otherwise objects of one engine's libraries slow down garbage collection for the other.
    gc.collect()
    gc.freeze()
    deadline = time.monotonic() + seconds
    turn = 0
    while turn < 2 or time.monotonic() < deadline:
        game_text = texts[turn % len(texts)]
        reference.episode(game_text, index=turn)
        for index in range(_FAST_EPISODES_PER_TURN):
            fast.episode(game_text, index=turn * _FAST_EPISODES_PER_TURN + index)
        turn += 1
        print(fast, reference, sep="\n", file=sys.stderr)
    return {
        "benchmark": "alfworld",
        "games": "builtin" if games is None else str(games),
        "steps_per_second": round(fast.steps_per_second),
        "reference_steps_per_second": round(reference.steps_per_second, 2),
        "steps_per_second_ratio": round(fast.steps_per_second / reference.steps_per_second, 1),
        "open_milliseconds": round(1e3 * fast.open_seconds, 3),
        "reference_open_milliseconds": round(1e3 * reference.open_seconds, 1),
        "open_ratio": round(reference.open_seconds / fast.open_seconds, 1),
        **({} if games is None else measure_opening(games)),
        "kib_per_open_game": round(_memory_per_game(texts, open_fast) / 1024, 1),
        "reference_kib_per_open_game": round(_memory_per_game(texts[:3], TextWorldPlay) / 1024, 1),
    }


def play(
    games: Annotated[str, typer.Option(help="builtin, official or a folder of game files.")] = "builtin",
    split: Annotated[str, typer.Option(help="Split of the game.")] = "valid_unseen",
    game: Annotated[int, typer.Option(help="Index of the game in the split, counted from 0.")] = 0,
) -> None:
    """Solve a household task in the terminal."""
    environment = AlfworldEnvironment(AlfworldConfig(games=games))
    play_task(environment, choose_task(environment, split, game))


def _report(results: Iterable[tuple[int, list[Difference]]], *, games: int, steps: int) -> int:
    """Print the differences and the progress; return the number of differences."""
    started, compared, count = time.monotonic(), 0, 0
    for done, (commands, differences) in enumerate(results, start=1):
        compared += commands
        count += len(differences)
        for difference in differences:
            print(difference, flush=True)
        if done % _REPORT_EVERY == 0:
            seconds = time.monotonic() - started
            left = seconds / done * (games - done)
            print(f"{done}/{games} games, {count} differences, {seconds:.0f} s, {left:.0f} s left", flush=True)
    print(
        f"{count} differences in {games} games, {compared} commands ({steps} random ones per game and the walkthroughs)"
    )
    return count


def _compare(source: _Source, *, steps: int, seed: int) -> tuple[int, list[Difference]]:
    """Return the number of commands played and the differences; a game that cannot be read counts as one."""
    game_id, read = source
    try:
        text = read()
        walkthrough = read_game(text, game_id=game_id).walkthrough
    except (OSError, UnicodeDecodeError, DataError) as error:
        unreadable = Difference(game_id=game_id, commands=(), field="file", expected="a game", actual=str(error))
        return 0, [unreadable]
    differences = compare_engines(
        text, TextWorldPlay, open_fast, game_id=game_id, walkthrough=walkthrough, steps=steps, seed=seed
    )
    return steps + len(walkthrough), differences


def _memoise() -> None:
    """Cache TextWorld's functions in this process until it exits."""
    lifetime = ExitStack()
    lifetime.enter_context(memoised_textworld())
    atexit.register(lifetime.close)


def _file_sources(folder: Path | None) -> list[_Source]:
    root = folder or official_folder()
    return [
        (path.parent.relative_to(root).as_posix(), partial(path.read_text, encoding="utf-8"))
        for path in game_files(root)
    ]


def _builtin_sources(count: int, seed: int) -> list[_Source]:
    return [
        (f"builtin/{household}/{split}/{index}", partial(generate_game, split, index, seed=seed, household=household))
        for household in HOUSEHOLDS
        for split in SPLIT_ROOMS
        for index in range(count)
    ]


class _Timing:
    """How long an engine takes to open a game (from the file's text to the first observation) and to step.

    Measured in CPU time of the process, so that other processes do not distort the comparison.
    """

    def __init__(self, name: str, open_play: OpenPlay) -> None:
        self._name = name
        self._open = open_play
        self.clear()

    def clear(self) -> None:
        """Forget all measurements."""
        self._episodes = self._steps = 0
        self._open_seconds = self._step_seconds = 0.0

    @property
    def open_seconds(self) -> float:
        """Mean time to open a game."""
        return self._open_seconds / self._episodes

    @property
    def steps_per_second(self) -> float:
        """Steps per second, including the list of admissible commands at each step."""
        return self._steps / self._step_seconds

    def episode(self, game_text: str, *, index: int) -> None:
        """Open a game and play random admissible commands."""
        rng = random.Random(derive_seed(0, "bench", index))
        started = time.process_time()
        play = self._open(game_text)
        opened = time.process_time()
        for _ in range(_STEPS_PER_EPISODE):
            play.step(rng.choice(play.admissible))
        self._episodes += 1
        self._open_seconds += opened - started
        self._step_seconds += time.process_time() - opened
        self._steps += _STEPS_PER_EPISODE
        play.close()

    def __str__(self) -> str:
        """The measurements so far, in one line."""
        return f"{self._name:>10}: {1e3 * self.open_seconds:9.2f} ms to open, {self.steps_per_second:9.1f} steps/s"


def _bench_texts(folder: Path | None) -> list[str]:
    if folder is not None:
        files = game_files(folder)
        selected = files[:: max(1, len(files) // _BENCH_GAMES)][:_BENCH_GAMES]
        return [path.read_text(encoding="utf-8") for path in selected]
    return [
        generate_game(split, index, seed=0, household=household)
        for household in HOUSEHOLDS
        for split in SPLIT_ROOMS
        for index in range(_BENCH_GAMES // len(HOUSEHOLDS) // len(SPLIT_ROOMS))
    ]


def _memory_per_game(texts: Sequence[str], open_play: OpenPlay) -> float:
    """Return the bytes of Python memory per open game after some steps, without what games share."""
    open_play(texts[0]).close()
    gc.collect()
    tracemalloc.start()
    try:
        rng = random.Random(derive_seed(0, "bench", "memory"))
        plays = []
        for text in texts:
            play = open_play(text)
            for _ in range(_STEPS_PER_EPISODE):
                play.step(rng.choice(play.admissible))
            plays.append(play)
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    for play in plays:
        play.close()
    return held / len(texts)
