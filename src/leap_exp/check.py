"""``python -m leap_exp.check NAME``: an environment against its contract and its reference implementation."""

import argparse
import atexit
import json
import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from leap_exp.core.errors import LeapError
from leap_exp.envs.alfworld import AlfworldEnvironment
from leap_exp.envs.alfworld.builtin import SPLIT_ROOMS, generate_game
from leap_exp.envs.alfworld.builtin.catalogue import HOUSEHOLDS
from leap_exp.envs.alfworld.compare import Difference, compare_engines
from leap_exp.envs.alfworld.engine import open_fast
from leap_exp.envs.alfworld.game import read_game
from leap_exp.envs.alfworld.memoised import memoised_textworld
from leap_exp.envs.alfworld.official import game_files, official_folder
from leap_exp.envs.alfworld.textworld_engine import TextWorldPlay, require_textworld
from leap_exp.envs.check import contract_violations
from leap_exp.envs.intercode_bash.bases import BASES, HOST
from leap_exp.envs.intercode_bash.bubblewrap import BubblewrapEngine
from leap_exp.envs.intercode_bash.differences import REASONS
from leap_exp.envs.intercode_bash.engines import BUBBLEWRAP, DOCKER, open_engine
from leap_exp.envs.intercode_bash.leftovers import MakeEngine, find_leftovers
from leap_exp.envs.intercode_bash.official import read_official
from leap_exp.envs.intercode_bash.replay import UNEXPLAINED, Turn
from leap_exp.envs.intercode_bash.replay import replay as replay_runs
from leap_exp.envs.intercode_bash.sandbox import Limits
from leap_exp.envs.webshop.authors_files import build_catalogue, find_files
from leap_exp.envs.webshop.catalogue import Catalogue
from leap_exp.envs.webshop.nouns import WordTagger
from leap_exp.envs.webshop.replay import replay

# TextWorld never frees all that a game took: a fresh process now and then keeps the memory small.
_GAMES_A_PROCESS = 100
_REPORT_EVERY = 50


_Source = tuple[str, Callable[[], str]]
"""A game's id and how to get the text of its file."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a check; 0 if nothing differs, 1 if anything does or cannot be checked."""
    parser = argparse.ArgumentParser(prog="python -m leap_exp.check", description=__doc__)
    names = parser.add_subparsers(required=True, metavar="NAME")
    _add_alfworld(names.add_parser("alfworld", help="the fast engine against TextWorld, on the same games"))
    _add_webshop(names.add_parser("webshop", help="the shop against recorded episodes of the original"))
    _add_intercode_bash(names.add_parser("intercode_bash", help="shell and reward against logged runs of the original"))
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except LeapError as error:
        print(error, file=sys.stderr)
        return 1


def _add_webshop(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--golden", type=Path, required=True, metavar="PATH", help="folder of recorded episodes")
    parser.add_argument(
        "--from",
        dest="source",
        type=Path,
        metavar="FOLDER",
        help="the authors' files of the 1,000 products (default: beside PATH)",
    )
    parser.set_defaults(run=_check_webshop)


def _check_webshop(options: argparse.Namespace) -> int:
    files = find_files(options.source or options.golden.resolve().parent, "1000")
    steps: list[int] = []
    count = 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "catalogue"
        # Whatever is installed here, the recordings were made with every alphabetic word as a noun.
        build_catalogue(folder, files, tagger=WordTagger())
        for difference in replay(options.golden, Catalogue(folder), steps.append):
            count += 1
            print(difference, flush=True)
    print(f"{count} differences in {len(steps)} episodes, {sum(steps)} steps, and in the goals and prices")
    return int(count > 0)


def _add_intercode_bash(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--runs", type=Path, metavar="PATH", help="play the logged runs in this folder again")
    what.add_argument(
        "--leftovers", type=int, metavar="N", help="open N sandboxes in processes that are killed, and see what is left"
    )
    parser.add_argument(
        "--from", dest="source", type=Path, metavar="FOLDER", help="requests and file systems (default: beside PATH)"
    )
    parser.add_argument("--base", choices=BASES, default=HOST, help="what the sandboxes have beneath the file systems")
    parser.add_argument("--sandbox", choices=(BUBBLEWRAP, DOCKER), default=BUBBLEWRAP, help="what makes the sandboxes")
    parser.add_argument("--seed", type=int, default=0, help="of the moments at which processes are killed")
    parser.add_argument(
        "--pace", type=float, default=0, metavar="SECONDS", help="wait before each logged action, as for a model"
    )
    parser.set_defaults(run=_check_intercode_bash)


def _check_intercode_bash(options: argparse.Namespace) -> int:
    if options.runs:
        return _check_runs(options)
    return _check_leftovers(options, partial(open_engine, options.sandbox, base=options.base, limits=Limits()))


def _check_leftovers(options: argparse.Namespace, make_engine: MakeEngine) -> int:
    began = time.monotonic()
    shown = 0

    def report(stage: str, done: int, total: int) -> None:
        nonlocal shown
        if done >= shown + _REPORT_EVERY:
            shown = done
            print(f"{done}/{total} {stage}", flush=True)

    found = find_leftovers(make_engine, episodes=options.leftovers, seed=options.seed, on_progress=report)
    for kind, lines in found.left.items():
        print(*(f"{kind}: {line}" for line in lines), sep="\n", end="\n" if lines else "")
    counts = {kind: len(lines) for kind, lines in found.left.items()}
    print(
        f"{found.episodes} episodes in {found.processes} processes, {found.killed} of them killed; left:",
        ", ".join(f"{count} {kind}" for kind, count in counts.items()),
    )
    figures = {"episodes": found.episodes, "commands": found.commands, "killed": found.killed, "left": counts}
    print(json.dumps({"sandbox": options.sandbox, **figures, "seconds": round(time.monotonic() - began, 1)}))
    return int(any(counts.values()))


def _check_runs(options: argparse.Namespace) -> int:
    collection = read_official(options.source or options.runs.resolve().parent)
    # As it was recorded: in containers that last, without limits but the time that a command may take.
    engine = BubblewrapEngine(base=options.base, limits=Limits(), resident=True)
    turns: list[Turn] = []
    for turn in replay_runs(options.runs, collection, engine, pace_seconds=options.pace):
        turns.append(turn)
        if not turn.same:
            print(turn, flush=True)
    differing = [turn for turn in turns if not turn.same]
    unexplained = sum(turn.reason is None for turn in differing)
    for reason, count in Counter(turn.reason or UNEXPLAINED for turn in differing).most_common():
        print(f"{count} turns because of {reason}")
    for reason, text in REASONS.items():
        print(f"{reason}: {text}")
    shares = {
        "equal observations": sum(turn.same_observation for turn in turns),
        "up to the order of lines": sum(turn.same_lines for turn in turns),
        "up to times, archives, names and nan too": sum(turn.alike_observation for turn in turns),
        "equal rewards": sum(turn.same_reward for turn in turns),
        "equal in both": len(turns) - len(differing),
        "explained": len(differing) - unexplained,
        "unexplained": unexplained,
    }
    print(
        f"{len(turns)} turns",
        *(f"{name}: {count} ({count / len(turns):.1%})" for name, count in shares.items()),
        sep=", ",
    )
    return int(bool(differing))


def _add_alfworld(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--games", type=Path, help="folder of game files (default: the installed official games)")
    parser.add_argument("--builtin", type=int, metavar="N", help="N built-in games a split and household instead")
    parser.add_argument("--steps", type=int, default=60, help="random commands a game, beside its walkthrough")
    parser.add_argument("--seed", type=int, default=0, help="of the commands, and of built-in games")
    parser.add_argument("--limit", type=int, metavar="K", help="only K games, spread evenly over all")
    parser.add_argument("--processes", type=int, default=1)
    parser.set_defaults(run=_check_alfworld)


def _check_alfworld(options: argparse.Namespace) -> int:
    violations = contract_violations(AlfworldEnvironment(), "valid_unseen")
    for violation in violations:
        print(violation)
    print(f"{len(violations)} violations of the contract of environments")
    return max(_compare_games(options), int(bool(violations)))


def _compare_games(options: argparse.Namespace) -> int:
    sources = _builtin_games(options.builtin, options.seed) if options.builtin else _games_in(options.games)
    if options.limit and options.limit < len(sources):
        sources = [sources[index * len(sources) // options.limit] for index in range(options.limit)]
    require_textworld()
    compare = partial(_compare, steps=options.steps, seed=options.seed)
    # Spawned, not forked: a worker starts without the threads and buffers of this process.
    with multiprocessing.get_context("spawn").Pool(
        options.processes, initializer=_memoise, maxtasksperchild=_GAMES_A_PROCESS
    ) as pool:
        return _report(pool.imap(compare, sources), games=len(sources), steps=options.steps)


def _report(results: Iterable[tuple[int, list[Difference]]], *, games: int, steps: int) -> int:
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
        f"{count} differences in {games} games, {compared} commands ({steps} random ones a game and the walkthroughs)"
    )
    return int(count > 0)


def _compare(source: _Source, *, steps: int, seed: int) -> tuple[int, list[Difference]]:
    """The number of commands played, and what differed."""
    game_id, read = source
    text = read()
    walkthrough = read_game(text, game_id=game_id).walkthrough
    differences = compare_engines(
        text, TextWorldPlay, open_fast, game_id=game_id, walkthrough=walkthrough, steps=steps, seed=seed
    )
    return steps + len(walkthrough), differences


def _memoise() -> None:
    """Make this process's TextWorld quick, for as long as it lives."""
    lifetime = ExitStack()
    lifetime.enter_context(memoised_textworld())
    atexit.register(lifetime.close)


def _games_in(folder: Path | None) -> list[_Source]:
    root = folder or official_folder()
    return [
        (path.parent.relative_to(root).as_posix(), partial(path.read_text, encoding="utf-8"))
        for path in game_files(root)
    ]


def _builtin_games(count: int, seed: int) -> list[_Source]:
    return [
        (f"builtin/{household}/{split}/{index}", partial(generate_game, split, index, seed=seed, household=household))
        for household in HOUSEHOLDS
        for split in SPLIT_ROOMS
        for index in range(count)
    ]


if __name__ == "__main__":
    sys.exit(main())
