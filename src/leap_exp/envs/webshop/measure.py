"""What WebShop costs: building and opening a catalogue, searching it, and playing."""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from random import Random
from statistics import median, quantiles
from typing import TypeVar

from leap_exp.core.seeding import derive_seed
from leap_exp.envs.webshop.authors_files import AuthorsFiles, build_catalogue
from leap_exp.envs.webshop.catalogue import Catalogue
from leap_exp.envs.webshop.goals import GoalList
from leap_exp.envs.webshop.nouns import WordTagger
from leap_exp.envs.webshop.shop import Shop

REFERENCE_STEPS_PER_SECOND = 57
"""Of the original with 1,000 products, on two cores; with 100,000 it does 48."""

_SEARCHES = 300
_STEPS_AN_EPISODE = 30
_NAME_CHARACTERS = 60
_TIMES_OPENED = 5
_REPORT_SECONDS = 5

_T = TypeVar("_T")


def measure_build(files: AuthorsFiles, folder: Path) -> Mapping[str, float]:
    """Build the catalogue of ``files`` in ``folder``: how long it takes, and how much memory at the most (MiB)."""
    return _alone(_measure_build, files, folder)


def measure_use(folder: Path, seconds: float) -> Mapping[str, float]:
    """Open, search and play the catalogue in ``folder``, playing for ``seconds``."""
    return _alone(_measure_use, folder, seconds)


def _alone(part: Callable[..., _T], *arguments: object) -> _T:
    """What ``part`` returns from a process of its own, so that one part's memory is not counted as another's."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(part, *arguments).result()


def _measure_build(files: AuthorsFiles, folder: Path) -> Mapping[str, float]:
    started = time.monotonic()
    build_catalogue(folder, files, tagger=WordTagger(), on_progress=_Report())
    return {
        "build_seconds": round(time.monotonic() - started, 1),
        "build_peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "catalogue_mib": round(sum(path.stat().st_size for path in folder.iterdir()) / 2**20, 1),
    }


def _measure_use(folder: Path, seconds: float) -> Mapping[str, float]:
    open_seconds = []
    for _ in range(_TIMES_OPENED):
        started = time.monotonic()
        catalogue = Catalogue(folder)
        shop = Shop(catalogue, GoalList(catalogue))
        open_seconds.append(time.monotonic() - started)
    opened = _resident_mib()
    searches = _measure_searches(shop)
    steps_per_second = _measure_steps(shop, seconds)
    return {
        "open_milliseconds": round(1e3 * median(open_seconds), 1),
        "resident_mib_opened": opened,
        "search_milliseconds": round(1e3 * median(searches), 3),
        "search_milliseconds_p95": round(1e3 * quantiles(searches, n=20)[-1], 3),
        "steps_per_second": round(steps_per_second),
        "resident_mib": _resident_mib(),
    }


def _measure_searches(shop: Shop) -> list[float]:
    """Seconds for each of many different queries."""
    rng = Random(derive_seed(0, "webshop", "searches"))
    queries = [_query(shop, rng) for _ in range(_SEARCHES)]
    taken = []
    for query in dict.fromkeys(queries):
        started = time.perf_counter()
        shop.catalogue.search(query)
        taken.append(time.perf_counter() - started)
    return taken


def _measure_steps(shop: Shop, seconds: float) -> float:
    """Steps a second of processor time, at each of which the page and what can be done there are asked for."""
    rng = Random(derive_seed(0, "webshop", "steps"))
    steps, spent, deadline = 0, 0.0, time.monotonic() + seconds
    while time.monotonic() < deadline:
        index = rng.randrange(len(shop.goals))
        queries = [_query(shop, rng) for _ in range(_STEPS_AN_EPISODE)]
        started = time.process_time()
        session = shop.open(index)
        for query in queries:
            has_search_bar, clickables = session.available
            session.step(f"search[{query}]" if has_search_bar else f"click[{rng.choice(clickables)}]")
            _ = session.text, session.available
            steps += 1
            if session.done:
                break
        spent += time.process_time() - started
    return steps / spent


def _query(shop: Shop, rng: Random) -> str:
    """What somebody might search for: a goal's instruction, its beginning, or a product's name."""
    goal = shop.goals.goal(rng.randrange(len(shop.goals)))
    return rng.choice(
        [
            goal.instruction,
            goal.instruction.removeprefix("Find me ").split(" with ")[0],
            goal.name[:_NAME_CHARACTERS],
        ]
    ).lower()


def _resident_mib() -> int:
    """Memory of this process that is in use, the mapped pages of files included."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return round(int(line.split()[1]) / 1024)
    return -1


class _Report:
    """Says on the error stream how far a build is, every few seconds."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last >= _REPORT_SECONDS:
            self._last = now
            sys.stderr.write(f"{stage}: {100 * done / max(1, total):.0f} %\n")
