"""What WebShop adds to the command lines: ``leap check``, ``bench`` and ``play``, data sets, and demonstrations."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from leap_exp.core.errors import DataError
from leap_exp.envs.datasets import Dataset
from leap_exp.envs.webshop.agent_replay import replay_as_agent
from leap_exp.envs.webshop.config import WebShopConfig
from leap_exp.envs.webshop.engine.authors_files import build_catalogue, find_files
from leap_exp.envs.webshop.engine.benchmark import ORIGINAL_STEPS_PER_SECOND, measure_build, measure_use, multiply
from leap_exp.envs.webshop.engine.catalogue import Catalogue
from leap_exp.envs.webshop.engine.goals import DEFAULT_PRICE_SEED, GoalList
from leap_exp.envs.webshop.engine.nouns import WordTagger
from leap_exp.envs.webshop.engine.pages import ObservationMode
from leap_exp.envs.webshop.engine.products import GoalKind
from leap_exp.envs.webshop.engine.replay import replay
from leap_exp.envs.webshop.engine.shop import Shop
from leap_exp.envs.webshop.environment import WebShopEnvironment
from leap_exp.envs.webshop.human_demonstrations import read_human_demonstrations
from leap_exp.envs.webshop.installation import BUILTIN, WebshopData, open_catalogue
from leap_exp.envs.webshop.site.server import ShopServer
from leap_exp.envs.webshop.site.visits import goal_number
from leap_exp.runs import write_records

DATASETS: Mapping[str, Dataset] = {"webshop": WebshopData()}

_SMALL_CATALOGUE = 1_000
_PORT = 8765


def check(
    golden: Annotated[Path, typer.Option(metavar="PATH", help="Folder of recorded episodes.")],
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="FOLDER", help="The authors' files of 1,000 products (default: beside PATH)."),
    ] = None,
) -> int:
    """Compare the shop with recorded episodes of the original; return 1 if anything differs."""
    files = find_files(source or golden.resolve().parent, "1000")
    steps: list[int] = []
    clicks: list[int] = []
    count = 0
    with TemporaryDirectory() as scratch:
        folder = Path(scratch) / "catalogue"
        # The recordings count every alphabetic word as a noun, even if spaCy is installed here.
        build_catalogue(folder, files, tagger=WordTagger())
        catalogue = Catalogue(folder)
        for difference in chain(
            replay(golden, catalogue, steps.append), replay_as_agent(golden, catalogue, clicks.append)
        ):
            count += 1
            print(difference, flush=True)
    print(f"Played by an agent too: {len(clicks)} episodes, with {sum(clicks)} results clicked by name")
    print(f"{count} differences in {len(steps)} episodes, {sum(steps)} steps, and in the goals and prices")
    return int(count > 0)


def bench(
    source: Annotated[Path, typer.Option("--from", metavar="FOLDER", help="The authors' files.")],
    products: Annotated[int, typer.Option(help="Products; more than 1,000 are made from these.")] = _SMALL_CATALOGUE,
    seconds: Annotated[float, typer.Option(help="Seconds to play, about.")] = 20,
    scratch: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where to build; an existing catalogue is used again.")
    ] = None,
) -> dict[str, object]:
    """Measure building, opening, searching and playing a catalogue."""
    with ExitStack() as stack:
        folder = scratch or Path(stack.enter_context(TemporaryDirectory()))
        catalogue = folder / f"catalogue_{products}"
        figures: dict[str, float] = {}
        if not catalogue.is_dir():
            files = find_files(source, "1000")
            if products != _SMALL_CATALOGUE:
                made = folder / f"files_{products}"
                made.mkdir(parents=True, exist_ok=True)
                files = multiply(files, made, products)
            figures |= measure_build(files, catalogue)
        figures |= measure_use(catalogue, seconds)
    return {
        "benchmark": "webshop",
        "products": products,
        **figures,
        "reference_steps_per_second": ORIGINAL_STEPS_PER_SECOND,
        "steps_per_second_ratio": round(figures["steps_per_second"] / ORIGINAL_STEPS_PER_SECOND, 1),
    }


def play(
    catalogue: Annotated[str, typer.Option(help="builtin, 1000, all or a folder.")] = BUILTIN,
    goals: Annotated[GoalKind, typer.Option(help="Who wrote the instructions.")] = GoalKind.HUMAN,
    goal: Annotated[int, typer.Option(metavar="N", help="The first goal, counted from 0.")] = 0,
    port: Annotated[int, typer.Option(help="Port of the web site; 0 for any free one.")] = _PORT,
) -> None:
    """Shop in the browser, on the same engine as the students, until Ctrl-C."""
    opened = open_catalogue(catalogue, builtin_seed=0)
    shop = Shop(opened, GoalList(opened, kind=goals))
    first = goal_number(str(goal), len(shop.goals))
    with ShopServer(shop, name=catalogue, port=port, first_goal=first) as server:
        print(f"Shop at {server.address} (Ctrl-C ends it).", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


def import_demonstrations(
    file: Annotated[Path, typer.Argument(help="The authors' il_trajs_finalized_images.jsonl, or its .zip.")],
    to: Annotated[Path, typer.Option(metavar="FILE", help="Where to write the trajectories.")],
    split: Annotated[str, typer.Option(help="Split whose demonstrations are kept.")] = "train",
    catalogue: Annotated[str, typer.Option(help="As env.catalogue.")] = "all",
    observation: Annotated[ObservationMode, typer.Option(help="As env.observation.")] = ObservationMode.TEXT,
    ids: Annotated[bool, typer.Option("--ids", help="Click results by id, as with env.item_names=false.")] = False,
    price_seed: Annotated[int, typer.Option(help="As env.price_seed.")] = DEFAULT_PRICE_SEED,
) -> None:
    """Turn the authors' human demonstrations into a file for demonstrations.source."""
    config = WebShopConfig(
        catalogue=catalogue,
        goals=GoalKind.HUMAN,
        observation=observation,
        item_names=not ids,
        price_seed=price_seed,
    )
    found = read_human_demonstrations(file, WebShopEnvironment(config), split=split)
    for cause, count in sorted(found.dropped.items()):
        print(f"{count:6,} dropped, {cause}")
    if not found.trajectories:
        raise DataError(f"{file} has no demonstrations for the {split} goals of the catalogue {catalogue}.")
    write_records(to, found.trajectories, {})
    full = sum(trajectory.succeeded for trajectory in found.trajectories)
    print(f"{len(found.trajectories):6,} taken, {full:,} of them with the full reward: {to}")
