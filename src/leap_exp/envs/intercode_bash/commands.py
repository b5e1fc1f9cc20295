"""What InterCode-Bash adds to ``leap check``, ``leap bench`` and ``leap data``."""

import json
import time
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from leap_exp.core.errors import ConfigError, DataError, EnvError
from leap_exp.core.types import SUCCESS_SCORE
from leap_exp.envs.datasets import Dataset
from leap_exp.envs.intercode_bash.config import InterCodeBashConfig
from leap_exp.envs.intercode_bash.engine import open_engine
from leap_exp.envs.intercode_bash.engine.bases import RootfsData
from leap_exp.envs.intercode_bash.engine.bubblewrap import BubblewrapEngine
from leap_exp.envs.intercode_bash.engine.differences import REASONS
from leap_exp.envs.intercode_bash.engine.episode import SUBMIT
from leap_exp.envs.intercode_bash.engine.install import AlfaData, IntercodeData
from leap_exp.envs.intercode_bash.engine.queries import SPLITS, read_official
from leap_exp.envs.intercode_bash.engine.replay import UNEXPLAINED, ReplayedAction, SkippedAction, replay
from leap_exp.envs.intercode_bash.engine.sandbox import BaseKind, Limits, SandboxKind
from leap_exp.envs.intercode_bash.engine.stress import MakeEngine, find_orphans, measure
from leap_exp.envs.intercode_bash.environment import InterCodeBashEnvironment

DATASETS: Mapping[str, Dataset] = {
    "intercode": IntercodeData(),
    "intercode_alfa": AlfaData(),
    "intercode_rootfs": RootfsData(),
}

ORIGINAL_STEPS_PER_SECOND = 15
"""At most: in the original's container one command takes 60 to 75 ms, however many episodes there are."""

_REPORT_EVERY = 50


def check(
    runs: Annotated[Path | None, typer.Option(help="Replay the logged runs in this folder.")] = None,
    orphans: Annotated[
        int | None,
        typer.Option(help="Open N sandboxes in processes that are killed, and list what is left.", metavar="N"),
    ] = None,
    golds: Annotated[
        str | None, typer.Option(help="Run the gold commands of these tasks (as in env.tasks) as an agent's.")
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="Folder of queries and file systems. Default: the parent of --runs.")
    ] = None,
    base: Annotated[BaseKind, typer.Option(help="Programs in the sandboxes.")] = BaseKind.HOST,
    sandbox: Annotated[
        SandboxKind, typer.Option(help="What makes the sandboxes of --orphans.")
    ] = SandboxKind.BUBBLEWRAP,
    seed: Annotated[int, typer.Option(help="Seed of the moments at which processes are killed.")] = 0,
    pace: Annotated[float, typer.Option(help="Seconds to wait before each logged action, as for a model.")] = 0.0,
) -> int:
    """Compare shell and reward with logged runs of the original, run gold commands, or look for orphans."""
    if sum(option is not None for option in (runs, orphans, golds)) != 1:
        raise ConfigError("Give one of --runs, --orphans and --golds.")
    if golds is not None:
        return _check_golds(golds, base)
    if runs is not None:
        return _check_runs(runs, source or runs.resolve().parent, base, pace)
    make_engine = partial(open_engine, sandbox, base=base, limits=Limits())
    return _check_orphans(make_engine, orphans or 0, sandbox, seed)


def _check_runs(runs: Path, source: Path, base: BaseKind, pace: float) -> int:
    collection = read_official(source)
    # The original's containers have no limits except for time, and keep background processes.
    engine = BubblewrapEngine(base=base, limits=Limits(kill_at_output=False), resident=True)
    actions: list[ReplayedAction] = []
    skipped = 0
    for action in replay(runs, collection, engine, pace_seconds=pace):
        if isinstance(action, SkippedAction):
            skipped += 1
            print(action, flush=True)
            continue
        actions.append(action)
        if not action.same:
            print(action, flush=True)
    if not actions:
        raise DataError(f"None of the {skipped} actions in {runs} has an output and a reward to compare with.")
    differing = [action for action in actions if not action.same]
    unexplained = sum(action.reason is None for action in differing)
    for reason, count in Counter(action.reason or UNEXPLAINED for action in differing).most_common():
        print(f"{count} actions differ: {reason}")
    for reason, text in REASONS.items():
        print(f"{reason}: {text}")
    counts = {
        "equal outputs": sum(action.same_output for action in actions),
        "up to the order of lines": sum(action.same_lines for action in actions),
        "up to what depends on the machine too": sum(action.same_normalised for action in actions),
        "equal rewards": sum(action.same_reward for action in actions),
        "both equal": len(actions) - len(differing),
        "explained": len(differing) - unexplained,
        "unexplained": unexplained,
    }
    print(
        f"{len(actions)} actions",
        *(f"{name}: {count} ({count / len(actions):.1%})" for name, count in counts.items()),
        f"skipped: {skipped}",
        sep=", ",
    )
    return int(bool(differing))


def _check_golds(tasks: str, base: BaseKind) -> int:
    """Run every gold command and submit; print the ids of those that do not score 1, and counts."""
    config = InterCodeBashConfig(tasks=tasks, sandbox=SandboxKind.BUBBLEWRAP, base=base)
    environment = InterCodeBashEnvironment(config)
    counts: Counter[str] = Counter()
    for split in SPLITS:
        for task in environment.tasks(split):
            for number, gold in enumerate(environment.golds(task), start=1):
                counts["gold commands"] += 1
                try:
                    with environment.open(task, seed=0) as episode:
                        episode.step(gold)
                        episode.step(SUBMIT)
                except EnvError as error:
                    counts["not run"] += 1
                    print(f"{task.id}: gold {number} cannot be run: {error}", flush=True)
                    continue
                counts["scored 1"] += episode.score() >= SUCCESS_SCORE
                if episode.score() < SUCCESS_SCORE:
                    print(f"{task.id}: gold {number} scores {episode.score():.2f}: {gold}", flush=True)
    print(json.dumps({"tasks": tasks, **counts}))
    return int(counts["scored 1"] < counts["gold commands"])


def _check_orphans(make_engine: MakeEngine, episodes: int, sandbox: SandboxKind, seed: int) -> int:
    started = time.monotonic()
    shown = 0

    def show_progress(stage: str, done: int, total: int) -> None:
        nonlocal shown
        if done >= shown + _REPORT_EVERY:
            shown = done
            print(f"{done}/{total} {stage}", flush=True)

    report = find_orphans(make_engine, episodes=episodes, seed=seed, on_progress=show_progress)
    for kind, lines in report.orphans.items():
        for line in lines:
            print(f"{kind}: {line}")
    counts = {kind: len(lines) for kind, lines in report.orphans.items()}
    print(
        f"{report.episodes} episodes in {report.processes} processes, {report.killed} of them killed; left:",
        ", ".join(f"{count} {kind}" for kind, count in counts.items()),
    )
    figures = {"episodes": report.episodes, "commands": report.commands, "killed": report.killed, "left": counts}
    print(json.dumps({"sandbox": sandbox, **figures, "seconds": round(time.monotonic() - started, 1)}))
    return int(any(counts.values()))


def bench(
    episodes: Annotated[int, typer.Option(help="How many sandboxes to open.")] = 320,
    at_a_time: Annotated[int, typer.Option(help="How many of them are open at once.")] = 32,
    sandbox: Annotated[SandboxKind, typer.Option(help="What makes the sandboxes.")] = SandboxKind.BUBBLEWRAP,
    base: Annotated[BaseKind, typer.Option(help="Programs in the sandboxes.")] = BaseKind.HOST,
) -> dict[str, object]:
    """Time opening sandboxes, and commands in them."""
    engine = open_engine(sandbox, base=base, limits=Limits())
    figures = measure(engine, episodes=episodes, at_a_time=at_a_time)
    return {"benchmark": "intercode_bash", "sandbox": engine.name, "base": base, **figures}
