"""What a language model adds to logs of episodes: ``python -m leap_exp.data annotate`` and ``extract-facts``."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from leap_exp.config.chosen import chosen_endpoint
from leap_exp.config.groups import members
from leap_exp.core.errors import DataError
from leap_exp.core.types import PrivilegedFacts, Trajectory
from leap_exp.llm import ChatClient
from leap_exp.store import read_records, write_records
from leap_exp.teachers.annotate import annotate
from leap_exp.teachers.asking import Unanswered
from leap_exp.teachers.extract import extract_facts

RecordT = TypeVar("RecordT", Trajectory, PrivilegedFacts)


def add_arguments(parser: argparse.ArgumentParser, *, what: str) -> None:
    """What both commands take."""
    parser.add_argument("file", type=Path, help="a trajectories.jsonl")
    parser.add_argument("--to", type=Path, required=True, metavar="FILE", help=f"where {what} go")
    parser.add_argument(
        "--endpoint",
        nargs="+",
        required=True,
        metavar=("NAME", "SETTING=VALUE"),
        help=f"the model to ask ({', '.join(members('endpoint'))}), and settings of it, such as model=NAME",
    )


def annotate_demonstrations(options: argparse.Namespace) -> None:
    """Write the trajectories of a file with a reason at every step."""
    client = _client(options)
    trajectories = _trajectories(options.file)
    _write(options.to, trajectories, annotate(client, trajectories, seed=0))
    _print_account(client)


def extract(options: argparse.Namespace) -> None:
    """Write the facts that a file's trajectories bring to light, from the best-scored one of each task."""
    client = _client(options)
    best: dict[str, Trajectory] = {}
    for trajectory in sorted(_trajectories(options.file), key=lambda trajectory: trajectory.score or 0.0):
        best[trajectory.task.id] = trajectory
    trajectories = [best[task_id] for task_id in sorted(best)]
    _write(options.to, trajectories, extract_facts(client, trajectories, seed=0))
    _print_account(client)


def _client(options: argparse.Namespace) -> ChatClient:
    name, *changes = options.endpoint
    return chosen_endpoint(name, changes).build("endpoint")


def _trajectories(file: Path) -> list[Trajectory]:
    trajectories = [t for t in read_records(file).of(Trajectory) if t.score is not None and t.steps]
    if not trajectories:
        raise DataError(f"{file} has no trajectory with steps and a score.")
    return trajectories


def _write(file: Path, asked: Sequence[Trajectory], answers: Sequence[RecordT | Unanswered]) -> None:
    records: list[RecordT] = []
    for trajectory, answer in zip(asked, answers, strict=True):
        if isinstance(answer, Unanswered):
            print(f"{trajectory.task.id} is left out: {answer.error}")
        else:
            records.append(answer)
    if not records:
        raise DataError(f"The model gave nothing of use for any of {len(asked)} trajectories; {file} is not written.")
    write_records(file, records, {})
    print(f"{len(records)} of {len(asked)} written: {file}")


def _print_account(client: ChatClient) -> None:
    account = client.account.close()
    cost = f", ${account['paid_dollars']:.4f} paid" if "paid_dollars" in account else ""
    print(f"{account['replies_count']:.0f} answers, {account['cache_hits_count']:.0f} of them cached{cost}")
