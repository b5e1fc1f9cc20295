"""A corridor of closed boxes, one of which holds a coin: all states, and exact values.

A *world* is the place of the coin, from 0. It is drawn uniformly, and only the teacher knows it. A *state* is what is
visible: where the agent stands and which boxes it has opened. Nothing else matters for what may come, so a policy that
depends on states alone loses nothing against one that depends on whole histories. The value of a policy is the
probability that it opens the box with the coin within a number of steps.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

LEFT, RIGHT, OPEN = "go left", "go right", "open the box"

Policy = Callable[["State", int], Mapping[str, float]]
"""The probability of each action, given the state and the number of steps left."""


@dataclass(frozen=True, slots=True)
class State:
    """Where the agent stands, and the empty boxes that it has opened; ``found`` ends the game."""

    position: int
    opened: frozenset[int] = frozenset()
    found: bool = False


@dataclass(frozen=True, slots=True)
class Corridor:
    """A corridor of ``boxes`` boxes. The agent starts at the middle one."""

    boxes: int

    @property
    def start(self) -> State:
        """The state at the beginning."""
        return State(self.boxes // 2)

    @property
    def worlds(self) -> range:
        """All worlds; each is equally likely."""
        return range(self.boxes)

    def actions(self, state: State) -> tuple[str, ...]:
        """Return the admissible actions."""
        possible = {LEFT: state.position > 0, RIGHT: state.position < self.boxes - 1}
        possible[OPEN] = state.position not in state.opened
        return tuple(action for action, is_possible in possible.items() if is_possible)

    def after(self, world: int, state: State, action: str) -> State:
        """Return the state after an admissible ``action``; nothing changes once the coin is found."""
        if state.found:
            return state
        if action != OPEN:
            return State(state.position + (1 if action == RIGHT else -1), state.opened)
        if state.position == world:
            return State(state.position, state.opened, found=True)
        return State(state.position, state.opened | {state.position})

    def states(self) -> Sequence[State]:
        """Return all states that can be reached in some world, the start first."""
        reached = [self.start]
        for state in reached:
            for world in self.consistent_worlds(state):
                for action in self.actions(state) if not state.found else ():
                    after = self.after(world, state, action)
                    if after not in reached:
                        reached.append(after)
        return reached

    def transitions(self) -> Iterator[tuple[int, State, str, State]]:
        """Yield every world, state, action and next state of games that are not over."""
        for state in self.states():
            for world in self.consistent_worlds(state) if not state.found else ():
                for action in self.actions(state):
                    yield world, state, action, self.after(world, state, action)

    def consistent_worlds(self, state: State) -> tuple[int, ...]:
        """Return the worlds that are possible after a history that leads to ``state``; all are equally likely."""
        if state.found:
            return (state.position,)
        return tuple(world for world in self.worlds if world not in state.opened)

    def replay(self, actions: Sequence[str], *, found: bool = False) -> State:
        """Return the state after ``actions``, of which the last has ``found`` the coin or none has."""
        state = self.start
        for index, action in enumerate(actions):
            world = state.position if found and index == len(actions) - 1 else -1
            state = self.after(world, state, action)
        return state

    def steps_left(self, world: int, state: State) -> int:
        """Return the least number of steps to the coin, for one who knows the ``world``."""
        return 0 if state.found else abs(world - state.position) + 1


def informed_value(corridor: Corridor, world: int, state: State, steps: int) -> float:
    """Return the highest probability to find the coin within ``steps`` for one who knows the ``world``: 0 or 1."""
    return float(corridor.steps_left(world, state) <= steps)


@cache
def best_value(corridor: Corridor, state: State, steps: int) -> float:
    """Return the highest probability to find the coin within ``steps`` for one who only sees states."""
    if state.found or steps == 0:
        return float(state.found)
    return max(action_value(corridor, state, action, steps) for action in corridor.actions(state))


@cache
def action_value(corridor: Corridor, state: State, action: str, steps: int) -> float:
    """Return the probability to find the coin within ``steps`` if ``action`` comes first and the best ones follow."""
    possible = corridor.consistent_worlds(state)
    after = [corridor.after(world, state, action) for world in possible]
    return sum(best_value(corridor, each, steps - 1) for each in after) / len(possible)


@cache
def expected_steps(corridor: Corridor, state: State) -> float:
    """Return the least expected number of steps to the coin for one who only sees states."""
    if state.found:
        return 0.0
    closed = corridor.consistent_worlds(state)
    # Walking teaches nothing, so a plan is an order of boxes.
    return min(
        abs(box - state.position) + expected_steps_after(corridor, State(box, state.opened), OPEN) for box in closed
    )


def expected_steps_after(corridor: Corridor, state: State, action: str) -> float:
    """Return the expected number of steps if ``action`` comes first, that step included, and the best ones follow."""
    possible = corridor.consistent_worlds(state)
    after = [corridor.after(world, state, action) for world in possible]
    return 1.0 + sum(expected_steps(corridor, each) for each in after) / len(possible)


def value(corridor: Corridor, policy: Policy, steps: int) -> float:
    """Return the exact probability that ``policy`` finds the coin within ``steps``, over all worlds."""

    def found(world: int, state: State, left: int) -> float:
        if state.found or left == 0:
            return float(state.found)
        return sum(
            chance * found(world, corridor.after(world, state, action), left - 1)
            for action, chance in policy(state, left).items()
            if chance > 0
        )

    return sum(found(world, corridor.start, steps) for world in corridor.worlds) / corridor.boxes
