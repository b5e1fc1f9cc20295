"""Task sentences that people wrote, in place of the ones made from templates.

``traj_data.json`` beside a game has the annotations of ALFRED, usually three. Which one a game gets is drawn as the
original's ``alfworld-generate --goal_desc_human_anns_prob P --seed S`` draws it: one generator passes through all
``traj_data.json`` of the folder in sorted order and draws, for each game, whether it gets a person's sentence, and then
which. Games that the original leaves out are not counted.
"""

import json
import random
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from leap_exp.core.errors import DataError
from leap_exp.envs.alfworld.engine.goal import TASK_TYPES
from leap_exp.envs.alfworld.engine.grammar import with_task
from leap_exp.envs.alfworld.official import GAME_FILE

ANNOTATIONS_FILE = "traj_data.json"
ORIGINAL_SEED = 20240229
"""The default of the original's --seed."""

_LEFT_OUT = ("movable", "Sliced")


@lru_cache(maxsize=4)
def human_goals(root: Path, probability: float, seed: int) -> Mapping[str, str]:
    """Return the sentences that people wrote for the games in ``root``, by game id.

    Args:
        root: The folder above the splits.
        probability: With which a game gets such a sentence, as ``goal_desc_human_anns_prob``.
        seed: Seed of the draws, as the original's ``--seed``.

    Raises:
        DataError: There are no annotations, or one cannot be read.
    """
    drawn: dict[str, str] = {}
    rng = random.Random(seed)
    files = sorted(root.glob(f"**/{ANNOTATIONS_FILE}"), key=str)
    if not files:
        raise DataError(
            f"env.human_goals needs the annotations beside the games, but {root} has no {ANNOTATIONS_FILE}: unpack "
            "ALFWorld's json_2.1.1_json.zip (alfworld-download) there."
        )
    for file in files:
        game_id = file.parent.relative_to(root).as_posix()
        if any(word in game_id for word in _LEFT_OUT) or not (file.parent / GAME_FILE).is_file():
            continue
        try:
            data = json.loads(file.read_text(encoding="utf-8"))
            if data["task_type"] not in TASK_TYPES:
                continue
            if rng.random() < probability:
                drawn[game_id] = str(rng.choice(data["turk_annotations"]["anns"])["task_desc"])
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise DataError(f"{file} has no annotations that can be read ({error!r}): unpack it again.") from error
    return drawn


def with_human_goal(game_text: str, sentence: str) -> str:
    """Return the text of a game whose task is ``sentence``, with the full stop that the original's grammar adds."""
    data = json.loads(game_text)
    return json.dumps({**data, "grammar": with_task(data["grammar"], f"{sentence}.")})
