"""``leap data``: install and verify benchmark data, and prepare demonstrations and facts.

Data is installed in ``LEAP_DATA``, by default ``leap_exp`` in the user's cache folder. An installation is prepared in
another folder, checked, and renamed, so that it is complete or absent.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from leap_exp.cli.commands import commands_module, environment_app, invoke
from leap_exp.cli.data_export import export
from leap_exp.cli.main import PASS_ON
from leap_exp.config.build import build_endpoint
from leap_exp.config.panels import RECIPES, find_panel, make_panel, user_panel
from leap_exp.config.registry import settings_classes
from leap_exp.core.errors import ConfigError, DataError
from leap_exp.core.types import PrivilegedFacts, Trajectory
from leap_exp.envs.datasets import Dataset
from leap_exp.llm import ChatClient
from leap_exp.runs import read_records, write_records
from leap_exp.teachers.answers import Unanswered
from leap_exp.teachers.enrich import annotate as write_reasons
from leap_exp.teachers.enrich import extract_facts as find_facts

RecordT = TypeVar("RecordT", Trajectory, PrivilegedFacts)

_MILLIONS_FROM = 10_000_000

Name = Annotated[str, typer.Argument(metavar="NAME", help="A data set; leap data list shows them.")]
Size = Annotated[str | None, typer.Option(help="Which size, where a data set has several; the first one by default.")]
Log = Annotated[Path, typer.Argument(metavar="FILE", help="A trajectories.jsonl.")]
Target = Annotated[Path, typer.Option("--to", metavar="FILE", help="The file to write.")]
EndpointName = Annotated[str, typer.Option("--endpoint", metavar="NAME", help="The model: a member of endpoint.")]
Changes = Annotated[
    list[str] | None, typer.Argument(metavar="SETTING=VALUE", help="Settings of the endpoint, such as model=NAME.")
]


def main(arguments: Sequence[str]) -> int:
    """Run one of the commands. Returns 0 if it succeeds."""
    app = typer.Typer(
        help="Install and verify benchmark data, and prepare demonstrations and facts.",
        no_args_is_help=True,
        add_completion=False,
    )
    app.command("list")(list_datasets)
    app.command()(install)
    app.command()(verify)
    app.command(add_help_option=False, context_settings=PASS_ON)(import_demonstrations)
    app.command()(annotate)
    app.command()(extract_facts)
    app.command()(export)
    app.command()(panels)
    app.command()(panel)
    return invoke(lambda: app, arguments, name="data")


def list_datasets() -> None:
    """List what can be installed, and what is."""
    for name, dataset in _datasets().items():
        for size in dataset.sizes or (None,):
            folder = dataset.folder(size)
            state = f"installed in {folder}" if folder.is_dir() else "not installed"
            print(f"{name}{f' --size {size}' if size else ''}  {dataset.description}: {state}")
            print(f"    --from takes {dataset.source}")


def install(
    name: Name,
    source: Annotated[
        Path | None, typer.Option("--from", help="A file or folder to install instead of a download.")
    ] = None,
    size: Size = None,
) -> None:
    """Download a data set, or take local files, and install it in place of what is installed."""
    for line in _dataset(name, size).install(source, size, _Progress()):
        print(line)
    print(f"Installed {name}.")


def verify(name: Name, size: Size = None) -> None:
    """Read an installed data set completely, and print what is in it."""
    dataset = _dataset(name, size)
    folder = dataset.folder(size)
    if not folder.is_dir():
        raise DataError(f"{name} is not installed in {folder}: run leap data install {name}.")
    for line in dataset.verify(size, _Progress()):
        print(line)


def import_demonstrations(context: typer.Context) -> None:
    """Convert demonstrations by people to a file for demonstrations.source."""
    arguments, text = context.args, import_demonstrations.__doc__ or ""
    make_app = partial(environment_app, "import_demonstrations", arguments, text=text)
    raise typer.Exit(invoke(make_app, arguments, name="data import-demonstrations"))


def annotate(log: Log, target: Target, endpoint: EndpointName, changes: Changes = None) -> None:
    """Let a language model write the reasons that demonstrations lack."""
    client = _client(endpoint, changes)
    trajectories = _trajectories(log)
    _write(target, trajectories, write_reasons(client, trajectories, seed=0))
    _print_usage(client)


def extract_facts(log: Log, target: Target, endpoint: EndpointName, changes: Changes = None) -> None:
    """Let a language model find facts for privilege.facts, in the best trajectory of each task."""
    client = _client(endpoint, changes)
    best: dict[str, Trajectory] = {}
    for trajectory in sorted(_trajectories(log), key=lambda trajectory: trajectory.score or 0.0):
        best[trajectory.task.id] = trajectory
    trajectories = [best[task_id] for task_id in sorted(best)]
    _write(target, trajectories, find_facts(client, trajectories, seed=0))
    _print_usage(client)


def panels() -> None:
    """List the panels by name: their tasks, their hash, and whether they come with the package."""
    for name, recipe in RECIPES.items():
        try:
            found = find_panel(name)
        except ConfigError:
            print(f"{name}  {recipe.about} Not here: run leap data panel {name} once its data are installed.")
        else:
            print(f"{name}  {recipe.about} {len(found.tasks)} tasks, {found.sha256[:12]}, {' '.join(found.settings)}")


def panel(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The panel; leap data panels lists those with a recipe.")],
    changes: Annotated[
        list[str] | None,
        typer.Argument(metavar="SETTING=VALUE", help="For a panel of your own: env=NAME, env.… and evaluation.…"),
    ] = None,
    target: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="The file to write; by default NAME in the data folder.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Compare with the panel that is here; write nothing.")] = False,
) -> None:
    """Make a panel from the installed data: the ids of its tasks, with digests of what they contain."""
    made = make_panel(name, changes or ())
    if check:
        wanted = find_panel(str(target or name))
        if made != wanted:
            different = next(
                (task.place for task, other in zip(made.tasks, wanted.tasks, strict=False) if task != other),
                "its length",
            )
            raise DataError(f"The panel {name} that is here differs from the installed data, first in {different}.")
        print(f"{name}: the installed data agree, {len(made.tasks)} tasks, {made.sha256}")
        return
    path = target or user_panel(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    made.write(path)
    print(f"{len(made.tasks)} tasks, {made.sha256}: {path}")


def _datasets() -> Mapping[str, Dataset]:
    """Return the data sets of all environments by name, sorted."""
    found: dict[str, Dataset] = {}
    for environment in settings_classes("env"):
        found |= getattr(commands_module(environment), "DATASETS", {})
    return dict(sorted(found.items()))


def _dataset(name: str, size: str | None) -> Dataset:
    datasets = _datasets()
    if name not in datasets:
        raise ConfigError(f"There is no data set {name}; choose one of: {', '.join(datasets)}.")
    dataset = datasets[name]
    if size and size not in dataset.sizes:
        raise ConfigError(f"{name} has no size {size!r}; choose one of: {', '.join(dataset.sizes) or 'none'}.")
    return dataset


def _client(endpoint: str, changes: Sequence[str] | None) -> ChatClient:
    return ChatClient(build_endpoint(endpoint, changes or ()), place="endpoint")


def _trajectories(log: Path) -> list[Trajectory]:
    trajectories = [t for t in read_records(log).of(Trajectory) if t.score is not None and t.steps]
    if not trajectories:
        raise DataError(f"{log} has no trajectory with steps and a score.")
    return trajectories


def _write(target: Path, trajectories: Sequence[Trajectory], answers: Sequence[RecordT | Unanswered]) -> None:
    records: list[RecordT] = []
    for trajectory, answer in zip(trajectories, answers, strict=True):
        if isinstance(answer, Unanswered):
            print(f"{trajectory.task.id} is left out: {answer.error}")
        else:
            records.append(answer)
    if not records:
        raise DataError(
            f"The model gave no usable answer for any of {len(trajectories)} trajectories; {target} is not written."
        )
    write_records(target, records, {})
    print(f"{len(records)} of {len(trajectories)} written: {target}")


def _print_usage(client: ChatClient) -> None:
    usage = client.take_usage()
    cost = f", ${usage['paid_dollars']:.4f} paid" if "paid_dollars" in usage else ""
    print(f"{usage['replies_count']:.0f} answers, {usage['cache_hits_count']:.0f} of them cached{cost}")


class _Progress:
    """Prints how far a stage is, at most once a second."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last >= 1:
            self._last = now
            unit, name = (1e6, " million") if total >= _MILLIONS_FROM else (1, "")
            print(f"{stage}: {done / unit:.0f} of {total / unit:.0f}{name}", file=sys.stderr)
