"""A world as arrays, small enough to enumerate, and exact values of policies in it.

Axes: S states, A actions, V visible states, T steps of an episode. A state includes what is hidden; a visible state is
what the history has shown. A teacher's policy has the shape (S, A), a student's (V, A), with probabilities in the last
axis; either may have a first axis T if it depends on the step.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TabularWorld:
    """A Markov decision process with hidden parts.

    Attributes:
        start_S: Probability of each state at the start.
        transitions_SAS: Probability of the next state.
        rewards_SA: Expected reward of an action.
        visible_S: Index of what a student sees of each state, from 0 to V - 1.
        admissible_SA: Which actions can be taken.
        done_S: The states in which the episode is over. Nothing that happens there counts.
        horizon: T.
    """

    start_S: Array
    transitions_SAS: Array
    rewards_SA: Array
    visible_S: Array
    admissible_SA: Array
    done_S: Array
    horizon: int

    def __post_init__(self) -> None:
        """Check the shapes and that probabilities add up to 1; raises ValueError."""
        states, actions = self.rewards_SA.shape
        shapes = {
            "start_S": (self.start_S.shape, (states,)),
            "transitions_SAS": (self.transitions_SAS.shape, (states, actions, states)),
            "visible_S": (self.visible_S.shape, (states,)),
            "admissible_SA": (self.admissible_SA.shape, (states, actions)),
            "done_S": (self.done_S.shape, (states,)),
        }
        wrong = [f"{name} has shape {got}, not {wanted}" for name, (got, wanted) in shapes.items() if got != wanted]
        if wrong:
            raise ValueError(f"The arrays of the world do not fit together: {'; '.join(wrong)}.")
        sums_SA = self.transitions_SAS.sum(axis=-1)
        is_open_SA = self.admissible_SA & ~self.done_S[:, None]
        if abs(self.start_S.sum() - 1) > _TOLERANCE or np.abs(sums_SA[is_open_SA] - 1).max(initial=0) > _TOLERANCE:
            raise ValueError("The probabilities of the starts, or of what follows an admissible action, are not 1.")

    def teacher(self, policy: Array) -> Array:
        """Return a policy over states as an array (T, S, A)."""
        states, actions = self.rewards_SA.shape
        return np.broadcast_to(policy, (self.horizon, states, actions))

    def student(self, policy: Array) -> Array:
        """Return a policy over visible states as an array (T, S, A)."""
        return self.teacher(policy[..., self.visible_S, :])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tabulated:
    """A world with the states, visible states and actions that its indices mean."""

    world: TabularWorld
    states: Sequence[Hashable]
    visible: Sequence[Hashable]
    actions: Sequence[str]

    def teacher(self, policy: Callable[[Any], Mapping[str, float]]) -> Array:
        """Return a policy over states, given as a function, as an array (S, A)."""
        return np.array([[policy(state).get(action, 0.0) for action in self.actions] for state in self.states])

    def student(self, policy: Callable[[Any], Mapping[str, float]]) -> Array:
        """Return a policy over visible states, given as a function, as an array (V, A)."""
        return np.array([[policy(seen).get(action, 0.0) for action in self.actions] for seen in self.visible])


def tabulate(
    starts: Mapping[Any, float],
    follow: Callable[[Any], Mapping[str, tuple[Any, float]]],
    *,
    visible: Callable[[Any], Hashable],
    done: Callable[[Any], bool],
    horizon: int,
) -> Tabulated:
    """Return a deterministic world as arrays, after enumerating all states that can be reached.

    Args:
        starts: Probability of each start. States can be anything hashable.
        follow: The next state and the reward of each admissible action in a state; also called for states that are
            done, where what it returns does not count.
        visible: What a student sees of a state.
        done: Whether the episode is over in a state.
        horizon: Steps of an episode.
    """
    states = list(starts)
    known = set(states)
    edges = {}
    for state in states:
        edges[state] = follow(state)
        for after, _ in edges[state].values():
            if after not in known:
                known.add(after)
                states.append(after)
    seen = list(dict.fromkeys(map(visible, states)))
    actions = sorted({action for options in edges.values() for action in options})
    index, seen_index = ({each: place for place, each in enumerate(them)} for them in (states, seen))
    transitions_SAS = np.zeros((len(states), len(actions), len(states)))
    rewards_SA = np.zeros((len(states), len(actions)))
    admissible_SA = np.zeros((len(states), len(actions)), dtype=bool)
    for state, options in edges.items():
        for action, (after, reward) in options.items():
            place = index[state], actions.index(action)
            transitions_SAS[(*place, index[after])] = 1.0
            rewards_SA[place] = reward
            admissible_SA[place] = True
    world = TabularWorld(
        start_S=np.array([starts.get(state, 0.0) for state in states]),
        transitions_SAS=transitions_SAS,
        rewards_SA=rewards_SA,
        visible_S=np.array([seen_index[visible(state)] for state in states]),
        admissible_SA=admissible_SA,
        done_S=np.array([done(state) for state in states]),
        horizon=horizon,
    )
    return Tabulated(world=world, states=states, visible=seen, actions=actions)


def action_values(world: TabularWorld, policy_TSA: Array) -> tuple[Array, Array]:
    """Return the value of each state, (T + 1, S), and of each action, (T, S, A), if ``policy_TSA`` follows.

    The value is the expected sum of rewards up to the horizon: V_t(s) = Σ_a π_t(a|s) Q_t(s, a),
    Q_t(s, a) = r(s, a) + Σ_s' P(s'|s, a) V_{t+1}(s'), V_T = 0.
    """
    states, actions = world.rewards_SA.shape
    values_TS = np.zeros((world.horizon + 1, states))
    values_TSA = np.zeros((world.horizon, states, actions))
    for t in reversed(range(world.horizon)):
        values_SA = world.rewards_SA + world.transitions_SAS @ values_TS[t + 1]
        values_TSA[t] = np.where(world.done_S[:, None], 0.0, values_SA)
        values_TS[t] = (policy_TSA[t] * values_TSA[t]).sum(axis=-1)
    return values_TS, values_TSA


def visits(world: TabularWorld, policy_TSA: Array) -> Array:
    """Return the probability of being in each state, not done, before each step, (T, S)."""
    found = np.zeros((world.horizon, len(world.start_S)))
    now_S = world.start_S
    for t in range(world.horizon):
        now_S = np.where(world.done_S, 0.0, now_S)
        found[t] = now_S
        now_S = np.einsum("s,sa,sax->x", now_S, policy_TSA[t], world.transitions_SAS)
    return found


def expected_return(world: TabularWorld, policy_TSA: Array) -> float:
    """Return J(π), the expected sum of rewards of an episode."""
    values_TS, _ = action_values(world, policy_TSA)
    return float(world.start_S @ values_TS[0])


def best_visible_return(world: TabularWorld) -> float:
    """Return J(π*), the highest expected sum of rewards of a policy that knows the step and the visible state.

    Exact if the probability of a state given the step and the visible state does not depend on the policy, as where the
    visible state holds all that the history has shown. It is taken from the policy that acts uniformly at random.
    """
    allowed_SA = world.admissible_SA / np.maximum(world.admissible_SA.sum(axis=-1, keepdims=True), 1)
    weights_TS = visits(world, world.teacher(allowed_SA))
    count = int(world.visible_S.max()) + 1
    sees_VS = world.visible_S[None, :] == np.arange(count)[:, None]
    values_V = np.zeros(count)
    for t in reversed(range(world.horizon)):
        follow_SA = world.rewards_SA + world.transitions_SAS @ np.where(world.done_S, 0.0, values_V[world.visible_S])
        belief_VS = sees_VS * weights_TS[t]
        belief_VS = belief_VS / np.maximum(belief_VS.sum(axis=-1, keepdims=True), _TOLERANCE**2)
        may_VA = (sees_VS[:, :, None] & world.admissible_SA[None]).any(axis=1)
        values_V = np.where(may_VA, belief_VS @ follow_SA, -np.inf).max(axis=-1)
        values_V = np.where(may_VA.any(axis=-1), values_V, 0.0)
    return float(world.start_S @ values_V[world.visible_S])
