"""Panels as files: the ids of the tasks and digests of their contents, so that others evaluate on exactly the same."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from leap_exp.core.environments import Environment
from leap_exp.core.errors import DataError
from leap_exp.core.text import content_digest
from leap_exp.core.types import Task
from leap_exp.runs import write_whole
from leap_exp.stages.evaluate import Panel

SCHEMA_VERSION = 1

_INSTRUCTION = "instruction"
_ID_DIGEST = re.compile(r"-[0-9a-f]{8}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelTask:
    """A task of a panel: its id without the digest at its end (``place_of``), and its contents by part."""

    place: str
    contents: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelFile:
    """A panel without its tasks' texts.

    Attributes:
        name: The name of the panel.
        about: What it is, in a sentence.
        settings: The settings that make an environment with these tasks, as on the command line; ``env=NAME`` first.
        split: The split that has them.
        tasks: The tasks, in order.
    """

    name: str
    about: str
    settings: tuple[str, ...]
    split: str
    tasks: tuple[PanelTask, ...]

    @property
    def sha256(self) -> str:
        """SHA-256 over the split, and the places and contents of all tasks in order."""
        listing = [self.split, [[task.place, dict(task.contents)] for task in self.tasks]]
        return hashlib.sha256(json.dumps(listing, sort_keys=True).encode()).hexdigest()

    @property
    def environment(self) -> str:
        """The name of the environment."""
        return self.settings[0].partition("=")[2]

    def panel(self, environment: Environment, *, seed: int) -> Panel:
        """Return the panel with the tasks of ``environment``; ``seed`` is that of its episodes.

        Raises:
            DataError: The environment is another one, lacks a task, or has one with other contents. The message names
                the first difference.
        """
        way_out = f"use {' '.join(self.settings)} with the data that the panel was made from, or another panel"
        if environment.name != self.environment:
            raise DataError(
                f"The panel {self.name} is one of {self.environment}, not of {environment.name}: {way_out}."
            )
        listed = {place_of(task): task for task in environment.tasks(self.split)}
        tasks = []
        for number, wanted in enumerate(self.tasks, start=1):
            task = listed.get(wanted.place)
            difference = (
                "it is missing here" if task is None else _difference(wanted.contents, contents(environment, task))
            )
            if task is None or difference:
                raise DataError(
                    f"The panel {self.name} differs from what is here, first in its task {number}, {wanted.place}: "
                    f"{difference}; {way_out}."
                )
            tasks.append(task)
        return Panel(split=self.split, seed=seed, tasks=tuple(tasks), name=self.name, contents_sha256=self.sha256)

    def write(self, path: Path) -> None:
        """Write the panel to ``path``, a task in each line."""
        head = {
            "schema_version": SCHEMA_VERSION,
            "name": self.name,
            "about": self.about,
            "settings": list(self.settings),
            "split": self.split,
            "sha256": self.sha256,
        }
        lines = [json.dumps({"place": task.place, **task.contents}) for task in self.tasks]
        write_whole(path, [json.dumps(head)[:-1] + ', "tasks": [', ",\n".join(lines), "]}"])


def make_panel_file(
    panel: Panel, environment: Environment, *, name: str, about: str, settings: Sequence[str]
) -> PanelFile:
    """Return ``panel``, whose tasks are those of ``environment``, as a file; ``settings`` make that environment."""
    tasks = tuple(PanelTask(place=place_of(task), contents=contents(environment, task)) for task in panel.tasks)
    return PanelFile(name=name, about=about, settings=tuple(settings), split=panel.split, tasks=tasks)


def read_panel_file(path: Path) -> PanelFile:
    """Read a panel.

    Raises:
        DataError: The file cannot be read, is not a panel, or was changed by hand.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        version = data["schema_version"]
        tasks = tuple(
            PanelTask(place=task["place"], contents={part: task[part] for part in task if part != "place"})
            for task in data["tasks"]
        )
        found = PanelFile(
            name=data["name"],
            about=data["about"],
            settings=tuple(data["settings"]),
            split=data["split"],
            tasks=tasks,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is not a panel that can be read ({error!r}): make it with leap data panel.") from error
    if version != SCHEMA_VERSION:
        raise DataError(
            f"The panel {path} has version {version}, but this program reads {SCHEMA_VERSION}: make it again."
        )
    if data.get("sha256") != found.sha256 or not tasks:
        raise DataError(f"The panel {path} was changed: its tasks do not have the hash that it gives. Make it again.")
    return found


def place_of(task: Task) -> str:
    """Return the id of ``task`` without the digest of its contents that some environments put at its end."""
    return _ID_DIGEST.sub("", task.id)


def contents(environment: Environment, task: Task) -> Mapping[str, str]:
    """Return what the episodes of ``task`` depend on, by part, with what the student is told."""
    return {_INSTRUCTION: content_digest([task.instruction, task.kind]), **environment.contents(task)}


def _difference(wanted: Mapping[str, str], found: Mapping[str, str]) -> str:
    """Return the first part that differs, or an empty text. An instruction often names others, so it comes last."""
    for part in sorted(dict.fromkeys([*wanted, *found]), key=lambda name: name == _INSTRUCTION):
        if wanted.get(part) != found.get(part):
            return f"its {part} is {wanted.get(part)} in the panel and {found.get(part)} here"
    return ""
