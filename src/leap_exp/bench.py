"""``python -m leap_exp.bench NAME``: measure one thing; the last line is one JSON object."""

import argparse
import gc
import json
import random
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from leap_exp.analysis.leakage import leaking_share
from leap_exp.config.groups import SCHEMAS, members
from leap_exp.core.errors import LeapError
from leap_exp.core.privilege import Disclosure
from leap_exp.core.protocols import Policy
from leap_exp.core.seeding import derive_seed
from leap_exp.core.types import Correction, Trajectory
from leap_exp.correct import brief
from leap_exp.envs.alfworld.builtin import SPLIT_ROOMS, generate_game
from leap_exp.envs.alfworld.builtin.catalogue import HOUSEHOLDS
from leap_exp.envs.alfworld.engine import OpenPlay, Play, open_fast
from leap_exp.envs.alfworld.official import game_files
from leap_exp.envs.alfworld.textworld_engine import TextWorldPlay
from leap_exp.envs.intercode_bash.bases import BASES, HOST
from leap_exp.envs.intercode_bash.engines import BUBBLEWRAP, ENGINES, open_engine
from leap_exp.envs.intercode_bash.measure import measure
from leap_exp.envs.intercode_bash.sandbox import Limits
from leap_exp.envs.webshop.authors_files import find_files
from leap_exp.envs.webshop.measure import REFERENCE_STEPS_PER_SECOND, measure_build, measure_use
from leap_exp.envs.webshop.multiply import multiply
from leap_exp.rollout import rollout
from leap_exp.students.scripted import OraclePolicy, RandomPolicy
from leap_exp.teachers.oracle import OracleTeacher

_SMALL_CATALOGUE = 1_000
_GAMES = 12
_EPISODES_AT_ONCE = 32
_STEPS_AN_EPISODE = 30
_FAST_EPISODES_A_TURN = 60
"""The fast engine plays that many episodes for one of the reference, so that both are timed for a measurable while."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a benchmark; 0 if it could be run."""
    parser = argparse.ArgumentParser(prog="python -m leap_exp.bench", description=__doc__)
    names = parser.add_subparsers(required=True, metavar="NAME")
    alfworld = names.add_parser("alfworld", help="the fast engine and stock TextWorld, in turns")
    alfworld.add_argument("--games", type=Path, help="folder of game files (default: built-in games)")
    alfworld.add_argument("--seconds", type=float, default=60, help="about how long to measure")
    alfworld.set_defaults(run=_bench_alfworld)
    webshop = names.add_parser("webshop", help="building, opening, searching and playing a catalogue")
    webshop.add_argument("--products", type=int, default=1_000, help="how many, multiplied from the 1,000 if more")
    webshop.add_argument("--from", dest="source", type=Path, required=True, metavar="FOLDER", help="the authors' files")
    webshop.add_argument("--seconds", type=float, default=20, help="about how long to play")
    webshop.add_argument("--scratch", type=Path, metavar="FOLDER", help="where to build; what is there is used again")
    webshop.set_defaults(run=_bench_webshop)
    bash = names.add_parser("intercode_bash", help="opening sandboxes, and commands in them")
    bash.add_argument("--episodes", type=int, default=320, help="how many to open")
    bash.add_argument("--at-a-time", type=int, default=32, help="how many are open at once")
    bash.add_argument("--sandbox", choices=ENGINES, default=BUBBLEWRAP, help="what makes them")
    bash.add_argument("--base", choices=BASES, default=HOST, help="what they have beneath the file tree")
    bash.set_defaults(run=_bench_intercode_bash)
    leakage = names.add_parser("leakage", help="how often the oracle's corrections give away what is hidden, by level")
    leakage.add_argument("--env", choices=members("env"), nargs="*", default=members("env"))
    leakage.add_argument("--tasks", type=int, default=60, help="training tasks of each environment")
    leakage.set_defaults(run=_bench_leakage)
    options = parser.parse_args(arguments)
    try:
        print(json.dumps(options.run(options)))
    except LeapError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _bench_alfworld(options: argparse.Namespace) -> dict[str, object]:
    texts = _game_texts(options.games)
    fast, reference = _Timing("fast", open_fast), _Timing("textworld", TextWorldPlay)
    for timing in (fast, reference):
        # What an engine does once a process (imports, the shared grammar) belongs to no game.
        timing.episode(texts[0], index=0)
        timing.clear()
    # The libraries of one engine must not slow the other's collections of garbage.
    gc.collect()
    gc.freeze()
    deadline = time.monotonic() + options.seconds
    turn = 0
    while turn < 2 or time.monotonic() < deadline:
        game_text = texts[turn % len(texts)]
        reference.episode(game_text, index=turn)
        for index in range(_FAST_EPISODES_A_TURN):
            fast.episode(game_text, index=turn * _FAST_EPISODES_A_TURN + index)
        turn += 1
        print(fast, reference, sep="\n", file=sys.stderr)
    return {
        "benchmark": "alfworld",
        "games": "builtin" if options.games is None else str(options.games),
        "steps_per_second": round(fast.steps_per_second),
        "reference_steps_per_second": round(reference.steps_per_second, 2),
        "steps_per_second_ratio": round(fast.steps_per_second / reference.steps_per_second, 1),
        "open_milliseconds": round(1e3 * fast.open_seconds, 3),
        "reference_open_milliseconds": round(1e3 * reference.open_seconds, 1),
        "open_ratio": round(reference.open_seconds / fast.open_seconds, 1),
        "kib_per_open_game": round(_memory_per_game(texts, open_fast) / 1024, 1),
        "reference_kib_per_open_game": round(_memory_per_game(texts[:3], TextWorldPlay) / 1024, 1),
    }


def _bench_webshop(options: argparse.Namespace) -> dict[str, object]:
    with ExitStack() as stack:
        scratch = options.scratch or Path(stack.enter_context(TemporaryDirectory()))
        catalogue = scratch / f"catalogue_{options.products}"
        figures = {} if catalogue.is_dir() else _build_webshop(options.source, options.products, scratch, catalogue)
        figures |= measure_use(catalogue, options.seconds)
    reference = REFERENCE_STEPS_PER_SECOND
    return {
        "benchmark": "webshop",
        "products": options.products,
        **figures,
        "reference_steps_per_second": reference,
        "steps_per_second_ratio": round(figures["steps_per_second"] / reference, 1),
    }


def _bench_intercode_bash(options: argparse.Namespace) -> dict[str, object]:
    engine = open_engine(options.sandbox, base=options.base, limits=Limits())
    figures = measure(engine, episodes=options.episodes, at_a_time=options.at_a_time)
    return {"benchmark": "intercode_bash", "sandbox": engine.name, "base": options.base, **figures}


def _bench_leakage(options: argparse.Namespace) -> dict[str, object]:
    shares = {name: _leakage(name, options.tasks) for name in options.env}
    return {"benchmark": "leakage", "tasks": options.tasks, **shares}


def _leakage(name: str, count: int) -> dict[str, dict[str, float]]:
    """By level, the share of reasons that leak: in corrections of a random policy, and where the oracle acts itself."""
    settings = SCHEMAS["env"][name]()
    environment = settings.build()
    tasks = environment.tasks(settings.train_split)[:count]

    def play(policy: Policy) -> list[Trajectory]:
        return rollout(
            environment,
            policy,
            tasks,
            seed=0,
            max_steps=settings.max_steps_train,
            batch=_EPISODES_AT_ONCE,
            on_progress=lambda *_: None,
        )

    wandering = play(RandomPolicy())
    shares = {}
    for level in Disclosure:
        teacher = OracleTeacher(environment, seed=0)
        found = {}
        for kind, trajectories in (("of_random", wandering), ("acting", play(OraclePolicy(environment, level)))):
            results = teacher.correct(trajectories, [brief(environment, each.task, level) for each in trajectories])
            corrections = [result for result in results if isinstance(result, Correction)]
            found[kind] = round(leaking_share(corrections), 3)
        shares[level.value] = found
        print(name, level.value, found, file=sys.stderr, flush=True)
    return shares


def _build_webshop(source: Path, products: int, scratch: Path, catalogue: Path) -> dict[str, float]:
    files = find_files(source, "1000")
    if products != _SMALL_CATALOGUE:
        made = scratch / f"files_{products}"
        made.mkdir(parents=True, exist_ok=True)
        files = multiply(files, made, products)
    return {**measure_build(files, catalogue)}


class _Timing:
    """How long an engine takes to open games (from the text of the file to the first observation) and to step.

    CPU time of the process, so that whatever else the machine does changes neither side.
    """

    def __init__(self, name: str, open_play: OpenPlay) -> None:
        self._name = name
        self._open = open_play
        self.clear()

    def clear(self) -> None:
        """Forget what was measured."""
        self._episodes = self._steps = 0
        self._open_seconds = self._step_seconds = 0.0

    @property
    def open_seconds(self) -> float:
        """Mean time to open a game."""
        return self._open_seconds / self._episodes

    @property
    def steps_per_second(self) -> float:
        """Steps a second, the admissible commands listed at each."""
        return self._steps / self._step_seconds

    def episode(self, game_text: str, *, index: int) -> None:
        """Open a game and play random admissible commands."""
        rng = random.Random(derive_seed(0, "bench", index))
        started = time.process_time()
        play = self._open(game_text)
        opened = time.process_time()
        for _ in range(_STEPS_AN_EPISODE):
            play.step(rng.choice(play.admissible))
        self._episodes += 1
        self._open_seconds += opened - started
        self._step_seconds += time.process_time() - opened
        self._steps += _STEPS_AN_EPISODE
        play.close()

    def __str__(self) -> str:
        """What was measured so far."""
        return f"{self._name:>10}: {1e3 * self.open_seconds:9.2f} ms to open, {self.steps_per_second:9.1f} steps/s"


def _game_texts(folder: Path | None) -> list[str]:
    if folder is not None:
        files = game_files(folder)
        chosen = files[:: max(1, len(files) // _GAMES)][:_GAMES]
        return [path.read_text(encoding="utf-8") for path in chosen]
    return [
        generate_game(split, index, seed=0, household=household)
        for household in HOUSEHOLDS
        for split in SPLIT_ROOMS
        for index in range(_GAMES // len(HOUSEHOLDS) // len(SPLIT_ROOMS))
    ]


def _memory_per_game(texts: Sequence[str], open_play: Callable[[str], Play]) -> float:
    """Bytes of Python memory that an open game holds, after some play; what games share is not counted."""
    open_play(texts[0]).close()
    gc.collect()
    tracemalloc.start()
    try:
        rng = random.Random(derive_seed(0, "bench", "memory"))
        plays = []
        for text in texts:
            play = open_play(text)
            for _ in range(_STEPS_AN_EPISODE):
                play.step(rng.choice(play.admissible))
            plays.append(play)
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    for play in plays:
        play.close()
    return held / len(texts)


if __name__ == "__main__":
    sys.exit(main())
