"""The corridor of ``examples/tabular_world`` as arrays, with policies of a teacher and of students."""

import random
import sys
from pathlib import Path

from leap_exp.analysis.tabular import tabulate

sys.path.insert(0, str(Path(__file__).parents[2] / "examples/tabular_world"))

from leap_boxes.corridor import LEFT, OPEN, RIGHT, Corridor


def corridor(boxes, horizon):
    """Return the corridor; a state is where the coin is, and what is visible."""
    game = Corridor(boxes)

    def follow(state):
        coin, seen = state
        after = {action: game.after(coin, seen, action) for action in game.actions(seen)}
        return {action: ((coin, to), float(to.found)) for action, to in after.items()}

    return tabulate(
        {(coin, game.start): 1 / boxes for coin in game.worlds},
        follow,
        visible=lambda state: state[1],
        done=lambda state: state[1].found,
        horizon=horizon,
    )


def straight_to_the_coin(state):
    """The teacher's policy."""
    coin, seen = state
    return {OPEN if seen.position == coin else RIGHT if coin > seen.position else LEFT: 1.0}


def possible(seen, boxes):
    """Return the admissible actions in a visible state."""
    return Corridor(boxes).actions(seen)


def at_random(boxes, *, seed):
    """Return a student's policy, with other probabilities in each visible state."""

    def policy(seen):
        actions = possible(seen, boxes)
        generator = random.Random(f"{seed} {seen.position} {sorted(seen.opened)} {seen.found}")
        weights = [generator.random() for _ in actions]
        return {action: weight / sum(weights) for action, weight in zip(actions, weights, strict=True)}

    return policy
