"""Resuming a run, or sharing a round 0, only with the settings that it was made with."""

import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import MISSING as DATACLASS_MISSING
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from leap_exp.analysis.run import FREE_SETTINGS
from leap_exp.config.registry import GROUPS, settings_class
from leap_exp.config.run import RunConfig
from leap_exp.core.errors import StoreError
from leap_exp.core.settings import MISSING
from leap_exp.llm.endpoint import FREE_ENDPOINT_SETTINGS
from leap_exp.runs import locked, read_config, round_name, storing, write_whole
from leap_exp.runs.files import LOCK_NAME
from leap_exp.students.config import RESUMABLE_SETTINGS

ROUND_0_SETTINGS = ("env", "student", "trainer", "demonstrations", "evaluation", "probes", "batch")
"""Settings that round 0 depends on, besides its seed."""
ROUND_0_SEED = "round_0_seed"
SAMPLING_SETTINGS = ("student.temperature", "student.top_p", "student.top_k")
"""Settings that round 0 depends on only if its evaluation samples: in its rollouts the expert acts."""
LABELS = ("arm",)
"""Groups of which only the member's name is kept, to tell runs apart."""
_CLONING = "sft"
"""The trainer whose settings ``trainer.cloning`` are."""
_CONFIG_LOCK = ".config.lock"
"""Held for a moment; the folder's own lock is held as long as a run works on round 0."""


def resolved(config: RunConfig, choices: Mapping[str, str]) -> dict[str, Any]:
    """Return ``config`` as plain data, with the name of the chosen member in every group (Hydra's ``choices``)."""
    data = asdict(config)
    for choice, member in choices.items():
        # A group within another one is called group@place, such as teacher@teacher.inner.
        group, _, place = choice.partition("@")
        if group in LABELS and member:
            data[group] = member
        elif group in GROUPS:
            *above, name = (place or group).split(".")
            parent = reduce(getitem, above, data)
            parent[name] = {"name": member, **parent[name]}
    return data


def check_config(path: Path, config: Mapping[str, Any], *, free: Sequence[str] = ()) -> None:
    """Check that the file ``path``, if it exists, has the settings ``config``.

    Settings that do not change results may differ, and those in ``free``, given in full (``trainer.epochs``).

    Raises:
        StoreError: Settings differ; the message names all of them with their old and new values.
    """
    if not path.exists():
        return
    left_out = (*FREE_SETTINGS, *LABELS)
    old = _flat({key: value for key, value in read_config(path).items() if key not in left_out})
    new = _flat({key: value for key, value in config.items() if key not in left_out})
    # What an older version did not have was as it is by default.
    old = {**{key: value for key, value in _defaults(config).items() if key in new}, **old}
    compared = sorted((old.keys() | new.keys()) - set(free))
    differing = [key for key in compared if old.get(key) != new.get(key) and not _is_free(key)]
    if differing:
        changes = "; ".join(f"{key} was {old.get(key)}, now {new.get(key)}" for key in differing)
        raise StoreError(
            f"{path.parent} was made with other settings: {changes}. Use the old values to resume it, or choose "
            "another folder."
        )


def write_config(path: Path, config: Mapping[str, Any]) -> None:
    """Write ``config`` to the YAML file ``path``, unless that exists."""
    if not path.exists():
        write_whole(path, [OmegaConf.to_yaml(OmegaConf.create(dict(config))).rstrip("\n")])


@dataclass(frozen=True, slots=True, kw_only=True)
class Round0:
    """Where the folder of a run's round 0 is, and with which seed it is made.

    Attributes:
        seed: The run's seed or, in a shared folder, the seed that it was made with (0 if it is not made yet).
        shared: A folder outside the run, to which the run's own folder of round 0 becomes a link; None for no sharing.
    """

    seed: int
    shared: Path | None

    @classmethod
    def of(cls, config: RunConfig) -> "Round0":
        """Return round 0 of the run with settings ``config``."""
        if config.pi_0 is None:
            return cls(seed=config.seed, shared=None)
        note = Path(config.pi_0) / "config.yaml"
        return cls(seed=int(read_config(note)[ROUND_0_SEED]) if note.exists() else 0, shared=Path(config.pi_0))

    def prepare(self, run_dir: Path, config: Mapping[str, Any]) -> None:
        """Make the folder, or the link to the shared one, and write there the settings that it depends on.

        A finished round 0 can be shared by runs with other trainers.

        Raises:
            StoreError: The shared folder was made with other settings, or holds something else.
        """
        relevant = {**{key: config[key] for key in ROUND_0_SETTINGS}, ROUND_0_SEED: self.seed}
        if "cloning" in config["trainer"]:
            # The trainer of later rounds has its own one for round 0.
            relevant["trainer"] = {"name": _CLONING, **config["trainer"]["cloning"]}
        if config["demonstrations"].get("briefed_share"):
            relevant["privilege"] = config["privilege"]
        link = run_dir / round_name(0)
        folder = self.shared or link
        with storing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        # Several runs may come here at the same time.
        with locked(folder, wait=True, name=_CONFIG_LOCK) if self.shared else nullcontext():
            note = folder / "config.yaml"
            if self.shared and not note.exists() and _other_files(folder):
                raise StoreError(
                    f"pi_0={folder} holds other files; give a new folder, or the {round_name(0)} of a run."
                )
            free = _trainer_settings(note, relevant) if _is_finished(folder) else []
            if relevant["evaluation"].get("samples") is None:
                free += SAMPLING_SETTINGS
            check_config(note, relevant, free=free)
            write_config(note, relevant)
        if self.shared and not link.is_symlink():
            with storing(link):
                # Relative, so that the folder of a sweep with its shared round can be moved.
                link.symlink_to(os.path.relpath(folder.resolve(), run_dir.resolve()), target_is_directory=True)


def _other_files(folder: Path) -> list[str]:
    """Return the files in ``folder`` that are neither locks nor an unfinished note of an earlier process."""
    ours = {LOCK_NAME, _CONFIG_LOCK, "config.yaml", "config.yaml.part"}
    return [path.name for path in folder.iterdir() if path.name not in ours]


def _is_finished(folder: Path) -> bool:
    """Return whether a round 0 is complete: its evaluation comes last."""
    return (folder / "evaluation.jsonl").exists()


def _trainer_settings(note: Path, relevant: Mapping[str, Any]) -> list[str]:
    """Return the settings of the trainer, with which a finished round 0 has nothing to do any more.

    The share of tasks kept for validation is not among them: these tasks must be the same in all rounds.
    """
    trainers = [read_config(note)["trainer"], relevant["trainer"]] if note.exists() else []
    keys = {key for trainer in trainers for key in _flat(trainer, "trainer")}
    return sorted(keys - {"trainer.validation_share"})


def _defaults(config: Mapping[str, Any]) -> dict[str, object]:
    """Return the defaults of the settings of ``config``: those of a run and of the members of groups, by dotted keys.

    The defaults of components within other components are left out.
    """
    found = _flat(_default_tree(RunConfig))
    for group in GROUPS:
        kind = settings_class(group, str((config.get(group) or {}).get("name")))
        found |= _flat(_default_tree(kind), group) if kind else {}
    return found


def _default_tree(kind: type[Any]) -> dict[str, object]:
    tree: dict[str, object] = {}
    for item in fields(kind):
        if is_dataclass(item.default_factory):
            tree[item.name] = _default_tree(item.default_factory)
        elif item.default not in (DATACLASS_MISSING, MISSING):
            tree[item.name] = item.default
    return tree


def _is_free(key: str) -> bool:
    """Whether a setting changes how a model is asked (how often, at what cost) but not what it answers."""
    *groups, name = key.split(".")
    return key in RESUMABLE_SETTINGS or (groups[-1:] == ["endpoint"] and name in FREE_ENDPOINT_SETTINGS)


def _flat(tree: object, prefix: str = "") -> dict[str, object]:
    """Return nested mappings as one, with dotted keys."""
    if not isinstance(tree, Mapping) or not tree:
        return {prefix: tree}
    flat: dict[str, object] = {}
    for key, value in tree.items():
        flat |= _flat(value, f"{prefix}.{key}" if prefix else str(key))
    return flat
