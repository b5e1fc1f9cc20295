"""Going on with a run folder, or sharing a round, only under the configuration that it was made with."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from leap_exp.config.endpoints import FREE_ENDPOINT_SETTINGS
from leap_exp.config.groups import SCHEMAS
from leap_exp.config.run import RunConfig
from leap_exp.config.students import FREE_STUDENT_SETTINGS
from leap_exp.core.errors import StoreError
from leap_exp.store import round_name, storing, write_whole

FREE_SETTINGS = ("run_dir", "tracker")
"""Settings that do not change what a run does."""
ROUND_0_SETTINGS = ("env", "student", "trainer", "demonstrations", "evaluation", "probes", "batch")
"""Settings that round 0 depends on (besides its seed)."""
ROUND_0_SEED = "round_0_seed"


def resolved(config: RunConfig, choices: Mapping[str, str]) -> dict[str, Any]:
    """``config`` as plain data, every group with the name of the chosen member; ``choices`` are Hydra's."""
    data = asdict(config)
    for choice, member in choices.items():
        # A group that stands elsewhere is called group@place, as in teacher@teacher.inner.
        group, _, place = choice.partition("@")
        if group in SCHEMAS:
            *above, name = (place or group).split(".")
            parent = reduce(getitem, above, data)
            parent[name] = {"name": member, **parent[name]}
    return data


def check_config(path: Path, config: Mapping[str, Any], *, free: Sequence[str] = FREE_SETTINGS) -> None:
    """Refuse to go on if ``path`` holds another configuration than ``config``; settings in ``free`` do not count.

    Raises:
        StoreError: names every setting that differs, with its old and its new value.
    """
    if not path.exists():
        return
    old = _flat({key: value for key, value in _load(path).items() if key not in free})
    new = _flat({key: value for key, value in config.items() if key not in free})
    differing = [
        key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key) and not _is_about_asking(key)
    ]
    if differing:
        changes = "; ".join(f"{key} was {old.get(key)}, now {new.get(key)}" for key in differing)
        raise StoreError(
            f"{path.parent} was made with another configuration: {changes}. Give the old values to go on, or choose "
            "another folder."
        )


def write_config(path: Path, config: Mapping[str, Any]) -> None:
    """Write ``config`` as YAML, unless it is there already."""
    if not path.exists():
        write_whole(path, [OmegaConf.to_yaml(OmegaConf.create(dict(config))).rstrip("\n")])


def round_0_seed(pi_0: Path | None, seed: int) -> int:
    """The seed of round 0: the run's own, or, for a shared round, the one it was made with (0 if it is to be made)."""
    if pi_0 is None:
        return seed
    path = pi_0 / "config.yaml"
    return int(_load(path)[ROUND_0_SEED]) if path.exists() else 0


def settle_round_0(run_dir: Path, pi_0: Path | None, config: Mapping[str, Any], *, seed: int) -> None:
    """Make the run's folder of round 0, a link to ``pi_0`` if that is given, and note there what it is made with.

    Raises:
        StoreError: ``pi_0`` was made with another configuration, or is a folder of something else.
    """
    relevant = {**{key: config[key] for key in ROUND_0_SETTINGS}, ROUND_0_SEED: seed}
    link = run_dir / round_name(0)
    target = link if pi_0 is None else pi_0
    note = target / "config.yaml"
    if pi_0 is not None and not note.exists() and pi_0.is_dir() and any(pi_0.iterdir()):
        raise StoreError(f"pi_0={pi_0} holds other things; give a new folder, or the {round_name(0)} of a run.")
    check_config(note, relevant)
    with storing(target):
        target.mkdir(parents=True, exist_ok=True)
        if pi_0 is not None and not link.is_symlink():
            # Relative, so that a sweep's folder with the shared round in it can be moved.
            link.symlink_to(os.path.relpath(pi_0.resolve(), run_dir.resolve()), target_is_directory=True)
    write_config(note, relevant)


def _is_about_asking(key: str) -> bool:
    """Whether a setting says how a model is asked (how often, for how much money), not what it answers."""
    *groups, name = key.split(".")
    return key in FREE_STUDENT_SETTINGS or (groups[-1:] == ["endpoint"] and name in FREE_ENDPOINT_SETTINGS)


def _load(path: Path) -> dict[str, Any]:
    data = OmegaConf.to_container(OmegaConf.load(path))
    if not isinstance(data, dict):
        raise StoreError(f"{path} holds no configuration.")
    return {str(key): value for key, value in data.items()}


def _flat(tree: object, prefix: str = "") -> dict[str, object]:
    """Nested mappings as one, with dotted keys."""
    if not isinstance(tree, Mapping) or not tree:
        return {prefix: tree}
    flat: dict[str, object] = {}
    for key, value in tree.items():
        flat |= _flat(value, f"{prefix}.{key}" if prefix else str(key))
    return flat
