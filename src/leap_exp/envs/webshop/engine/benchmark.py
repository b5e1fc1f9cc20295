"""Measures building, opening, searching and playing a catalogue, and makes large catalogues for that."""

from __future__ import annotations

import json
import multiprocessing
import random
import resource
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from itertools import count
from pathlib import Path
from statistics import median, quantiles
from typing import Any, TypeVar

from leap_exp.core.seeding import derive_seed
from leap_exp.envs.webshop.engine.authors_files import (
    INSTRUCTIONS_FILE,
    SIZES,
    AuthorsFiles,
    build_catalogue,
    find_files,
)
from leap_exp.envs.webshop.engine.catalogue import Catalogue
from leap_exp.envs.webshop.engine.goals import GoalList
from leap_exp.envs.webshop.engine.json_stream import list_entries, object_entries
from leap_exp.envs.webshop.engine.nouns import WordTagger
from leap_exp.envs.webshop.engine.shop import Shop

ORIGINAL_STEPS_PER_SECOND = 57
"""Speed of the original with 1,000 products on two cores; with 100,000 products it is 48."""

_SEARCHES = 300
_STEPS_PER_EPISODE = 30
_NAME_CHARACTERS = 60
_TIMES_OPENED = 5
_REPORT_SECONDS = 5
_NEW_WORD_SHARE = 0.01

_T = TypeVar("_T")


def measure_build(files: AuthorsFiles, folder: Path) -> Mapping[str, float]:
    """Build the catalogue of ``files`` in ``folder``; return the time, the peak memory and the size on disk."""
    return _in_new_process(_measure_build, files, folder)


def measure_use(folder: Path, seconds: float) -> Mapping[str, float]:
    """Open, search and play the catalogue in ``folder``; return times and memory. Playing takes ``seconds``."""
    return _in_new_process(_measure_use, folder, seconds)


def _in_new_process(part: Callable[..., _T], *arguments: object) -> _T:
    """Run ``part`` in a new process, so that the memory of other parts is not counted."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(part, *arguments).result()


def _measure_build(files: AuthorsFiles, folder: Path) -> Mapping[str, float]:
    started = time.monotonic()
    build_catalogue(folder, files, tagger=WordTagger(), on_progress=_ProgressReport())
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
    """Return the seconds taken by each of many different queries."""
    rng = random.Random(derive_seed(0, "webshop", "searches"))
    queries = [_query(shop, rng) for _ in range(_SEARCHES)]
    taken = []
    for query in dict.fromkeys(queries):
        started = time.perf_counter()
        shop.catalogue.search(query)
        taken.append(time.perf_counter() - started)
    return taken


def _measure_steps(shop: Shop, seconds: float) -> float:
    """Return steps per second of processor time; each step reads the page and the possible actions."""
    rng = random.Random(derive_seed(0, "webshop", "steps"))
    steps, spent, deadline = 0, 0.0, time.monotonic() + seconds
    while time.monotonic() < deadline:
        index = rng.randrange(len(shop.goals))
        queries = [_query(shop, rng) for _ in range(_STEPS_PER_EPISODE)]
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


def _query(shop: Shop, rng: random.Random) -> str:
    """Return a plausible query: a goal's instruction, its start, or a product's name."""
    goal = shop.goals.goal(rng.randrange(len(shop.goals)))
    return rng.choice(
        [
            goal.instruction,
            goal.instruction.removeprefix("Find me ").split(" with ")[0],
            goal.name[:_NAME_CHARACTERS],
        ]
    ).lower()


def _resident_mib() -> int:
    """Return this process's memory in use, including mapped pages of files."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return round(int(line.split()[1]) / 1024)
    return -1


class _ProgressReport:
    """Writes the progress of a build to the error stream every few seconds."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last >= _REPORT_SECONDS:
            self._last = now
            sys.stderr.write(f"{stage}: {100 * done / max(1, total):.0f} %\n")


def multiply(files: AuthorsFiles, folder: Path, products: int) -> AuthorsFiles:
    """Write files of a catalogue of ``products`` products to ``folder``, made from the products in ``files``.

    Copies of a product have shuffled words, and one word in a hundred is new, so that the vocabulary grows with the
    catalogue about as fast as in real text.

    Raises:
        DataError: A file is broken.
    """
    originals: list[Mapping[str, Any]] = [
        dict(entry) for entry in list_entries(files.products) if isinstance(entry, dict)
    ]
    attributes = dict(object_entries(files.attributes))
    names = SIZES["all"]
    with (folder / names[0]).open("w") as catalogue, (folder / names[1]).open("w") as entries:
        catalogue.write("[")
        entries.write("{")
        for number in range(products):
            original = originals[number % len(originals)]
            record = _copy(original, number // len(originals), number)
            separator = "," if number else ""
            catalogue.write(separator + json.dumps(record))
            entries.write(f"{separator}{json.dumps(record['asin'])}:{json.dumps(attributes.get(original['asin'], {}))}")
        catalogue.write("]")
        entries.write("}")
    (folder / INSTRUCTIONS_FILE).write_text(json.dumps(dict(object_entries(files.instructions))))
    return find_files(folder, "all")


def _copy(original: Mapping[str, Any], copy: int, number: int) -> Mapping[str, Any]:
    if copy == 0:
        return original
    rng = random.Random(derive_seed(0, "webshop", "multiply", number))
    fresh = (f"w{copy:x}{index:x}" for index in count())

    def shuffled(text: str) -> str:
        words = [next(fresh) + word if rng.random() < _NEW_WORD_SHARE else word for word in text.split()]
        rng.shuffle(words)
        return " ".join(words)

    bullets = original["small_description"]
    return {
        **original,
        "asin": f"C{number:09d}",
        "name": shuffled(original["name"]),
        "full_description": shuffled(original["full_description"]),
        "small_description": [shuffled(bullet) for bullet in bullets]
        if isinstance(bullets, list)
        else shuffled(bullets),
    }
