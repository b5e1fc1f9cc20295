"""A corridor of closed boxes, one with a coin, as arrays: small enough to enumerate."""

import random

from leap_exp.analysis.tabular import tabulate

LEFT, RIGHT, OPEN = "left", "right", "open"


def corridor(boxes, horizon):
    """Return the corridor; a state is where the coin and the agent are, and the boxes that were opened."""

    def follow(state):
        coin, at, opened = state
        options = {LEFT: at - 1, RIGHT: at + 1}
        found = {action: ((coin, to, opened), 0.0) for action, to in options.items() if 0 <= to < boxes}
        if at not in opened:
            found[OPEN] = (coin, at, opened | {at}), float(at == coin)
        return found

    return tabulate(
        {(coin, boxes // 2, frozenset()): 1 / boxes for coin in range(boxes)},
        follow,
        visible=lambda state: (state[1:], state[0] in state[2]),
        done=lambda state: state[0] in state[2],
        horizon=horizon,
    )


def straight_to_the_coin(state):
    """The teacher's policy."""
    coin, at, _ = state
    return {OPEN if at == coin else RIGHT if coin > at else LEFT: 1.0}


def possible(seen, boxes):
    """Return the admissible actions in a visible state."""
    (at, opened), _ = seen
    return [action for action, may in ((LEFT, at > 0), (RIGHT, at < boxes - 1), (OPEN, at not in opened)) if may]


def at_random(boxes, *, seed):
    """Return a student's policy, with other probabilities in each visible state."""

    def policy(seen):
        actions = possible(seen, boxes)
        generator = random.Random(f"{seed} {seen[0][0]} {sorted(seen[0][1])} {seen[1]}")
        weights = [generator.random() for _ in actions]
        return {action: weight / sum(weights) for action, weight in zip(actions, weights, strict=True)}

    return policy
