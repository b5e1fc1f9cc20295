"""``leap data export``: expert and corrected trajectories on built-in tasks as files for other libraries."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from leap_exp.config.panels import composed
from leap_exp.config.run import RunConfig
from leap_exp.core.environments import Environment
from leap_exp.core.errors import ConfigError
from leap_exp.core.privilege import Disclosure
from leap_exp.core.seeding import derive_seed
from leap_exp.core.text import valid_text
from leap_exp.report.datasheet import write_datasheet
from leap_exp.runs import write_whole
from leap_exp.runs.provenance import provenance
from leap_exp.stages.export import Collection, Row, chat_rows, collect, trajectory_rows
from leap_exp.students.scripted import ExpertPolicy, NoisyPolicy, RandomPolicy
from leap_exp.teachers.oracle import OracleTeacher
from leap_exp.tokens.renderer import PromptConfig

_SOURCES = {"alfworld": "games", "intercode_bash": "tasks", "webshop": "catalogue"}
"""The setting of each environment that says where its tasks are from."""
_ABOUT = {
    "trajectories.jsonl": "a trajectory in each line",
    "trajectories.parquet": "the same",
    "chat_messages.jsonl": "an expert trajectory as a conversation",
    "chat_prompt_completion.jsonl": "a corrected step with the teacher's answer",
    "chat_preference.jsonl": "a changed step with the teacher's answer and the rejected one",
}


def export(
    environment: Annotated[str, typer.Argument(metavar="ENV", help=f"One of {', '.join(_SOURCES)}.")],
    target: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="The folder to write.")],
    tasks: Annotated[int, typer.Option(min=1, help="Number of training tasks.")] = 200,
    disclosure: Annotated[Disclosure, typer.Option(help="How the teacher may use the facts.")] = Disclosure.P50,
    noise: Annotated[
        float, typer.Option(min=0, max=1, help="Share of random actions in the trajectories that are corrected.")
    ] = 0.5,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    changes: Annotated[
        list[str] | None, typer.Argument(metavar="SETTING=VALUE", help="Settings of the environment (env.…).")
    ] = None,
) -> None:
    """Write expert and corrected trajectories on built-in tasks as JSONL, Parquet and TRL's chat formats."""
    config = _config(environment, changes or ())
    played = config.env.build()
    played.prepare()
    expert = ExpertPolicy(played)
    collection = collect(
        played,
        expert=expert,
        weak=NoisyPolicy(expert, RandomPolicy(), share=noise),
        teacher=OracleTeacher(played, seed=derive_seed(seed, "teacher")),
        disclosure=disclosure,
        split=config.env.train_split,
        tasks=tasks,
        max_steps=config.env.max_steps_train,
        seed=seed,
        on_progress=_ignore_progress,
    )
    target.mkdir(parents=True, exist_ok=True)
    git: Any = provenance()["git"]
    rows, written = _write_files(collection, played, target)
    words = [environment, f"--tasks {tasks}", f"--disclosure {disclosure}", f"--noise {noise:g}", f"--seed {seed}"]
    facts = {
        **_facts(collection, rows),
        "environment": environment,
        "arguments": " ".join([*words, *(changes or ())]),
        "tasks": tasks,
        "noise": f"{noise:.0%}",
        "disclosure": str(disclosure),
        "split": config.env.train_split,
        "version": metadata.version("leap-exp"),
        "commit": str((git or {}).get("commit", ""))[:12],
    }
    print(f"{len(rows)} trajectories: {write_datasheet(target, facts, written)}")


def _ignore_progress(done: int, total: int) -> None:
    del done, total


def _config(environment: str, changes: Sequence[str]) -> RunConfig:
    if environment not in _SOURCES:
        raise ConfigError(f"There are no built-in tasks of {environment}; choose one of: {', '.join(_SOURCES)}.")
    if wrong := [change for change in changes if not change.startswith("env.")]:
        raise ConfigError(f"{wrong[0]} is not a setting of the environment: give env.SETTING=VALUE.")
    config = composed([f"env={environment}", *changes])
    source = _SOURCES[environment]
    if getattr(config.env, source) != "builtin":
        raise ConfigError(
            f"env.{source}={getattr(config.env, source)} is not exported, because those tasks are others' work; leave "
            "it out."
        )
    return config


def _write_files(
    collection: Collection, environment: Environment, target: Path
) -> tuple[list[Row], list[dict[str, Any]]]:
    """Write all data files; return the trajectories' rows, and each file's name, rows, hash and content."""
    rows = list(trajectory_rows(collection, environment))
    _write_lines(target / "trajectories.jsonl", rows)
    counts = {"trajectories.jsonl": len(rows)}
    if _write_parquet(target / "trajectories.parquet", rows):
        counts["trajectories.parquet"] = len(rows)
    for name, of_format in chat_rows(collection, environment, PromptConfig()).items():
        _write_lines(target / f"chat_{name}.jsonl", of_format)
        counts[f"chat_{name}.jsonl"] = len(of_format)
    return rows, [
        {"name": name, "rows": count, "sha256": _sha256(target / name), "about": _ABOUT[name]}
        for name, count in counts.items()
    ]


def _write_lines(path: Path, rows: Iterable[Row]) -> None:
    write_whole(path, (valid_text(json.dumps(row, ensure_ascii=False)) for row in rows))


def _write_parquet(path: Path, rows: Sequence[Row]) -> bool:
    """Write ``rows``; return whether there is a library that can."""
    try:
        from pyarrow import Table, parquet
    except ImportError:
        print(f"{path.name} is left out, because it needs pyarrow: pip install 'leap-exp[parquet]'.")
        return False
    parquet.write_table(Table.from_pylist([dict(row) for row in rows]), path)
    return True


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _facts(collection: Collection, rows: Sequence[Mapping[str, Any]]) -> Mapping[str, object]:
    """Return the numbers of the datasheet."""
    steps = sum(len(each.decisions) for each in collection.corrected)
    return {
        "expert": len(collection.expert),
        "corrected": len(collection.corrected),
        "steps": steps,
        "changed": sum(sum(each.changed) for each in collection.corrected),
        "exact": any(step["steps_left"] is not None for row in rows for step in row["steps"]),
    }
