"""Generator of households: any number of games in ALFWorld's file format, from a seed."""

import json
from random import Random

from leap_exp.core.errors import ConfigError
from leap_exp.core.seeding import derive_seed
from leap_exp.envs.alfworld.builtin.catalogue import HOUSEHOLDS, ROOM_KINDS, read_resource
from leap_exp.envs.alfworld.builtin.placement import place_objects
from leap_exp.envs.alfworld.builtin.problem import render_problem
from leap_exp.envs.alfworld.builtin.rooms import TRAIN_ROOMS, UNSEEN_ROOMS, make_room
from leap_exp.envs.alfworld.builtin.tasks import TASK_TYPES, draw_task
from leap_exp.envs.alfworld.builtin.walkthrough import shortest_walkthrough

SPLIT_ROOMS = {"train": TRAIN_ROOMS, "valid_seen": TRAIN_ROOMS, "valid_unseen": UNSEEN_ROOMS}
"""The room numbers of each split."""


def generate_game(split: str, index: int, *, seed: int, household: str) -> str:
    """Return the JSON text of a ``game.tw-pddl`` file for game ``index`` of ``split``.

    The task types alternate, so consecutive indices are balanced. The same arguments always give the same text.

    Raises:
        ConfigError: The split or household is unknown, or the index is negative.
    """
    if split not in SPLIT_ROOMS:
        raise ConfigError(f"Unknown split {split!r}: choose one of {', '.join(SPLIT_ROOMS)}.")
    if household not in HOUSEHOLDS:
        raise ConfigError(f"Unknown household {household!r}: choose one of {', '.join(HOUSEHOLDS)}.")
    if index < 0:
        raise ConfigError(f"Game index {index} is negative: the first game is 0.")
    rng = Random(derive_seed(seed, "alfworld", "game", household, split, index))
    task_type = TASK_TYPES[index % len(TASK_TYPES)]
    (room_kind,) = rng.choices(list(task_type.rooms), weights=list(task_type.rooms.values()))
    room = make_room(seed, household, room_kind, rng.choice(SPLIT_ROOMS[split]))
    task = draw_task(task_type, room, rng)
    objects = place_objects(task, room, ROOM_KINDS[room_kind].furnishing[household].objects, rng)
    name = f"{household}_{split}_{index}_{room_kind}_{room.number}"
    return json.dumps(
        {
            "pddl_domain": read_resource("domain.pddl"),
            "grammar": read_resource("grammar.twl2").replace("TASK SENTENCE", task.sentence),
            "pddl_problem": render_problem(name, task, room, objects),
            "solvable": True,
            "walkthrough": shortest_walkthrough(task, room, objects),
        }
    )
