"""What every environment must satisfy, as a check that lists what one does not."""

from collections.abc import Iterator, Sequence
from random import Random

from leap_exp.core.errors import LeapError
from leap_exp.core.privilege import Disclosure
from leap_exp.core.protocols import Environment, Episode
from leap_exp.core.seeding import derive_seed
from leap_exp.core.types import SUCCESS_SCORE, Decision, Step, Task, Transition, View

_NONSENSE = "perform an action that no environment knows"


def contract_violations(
    environment: Environment, split: str, *, tasks: int = 3, steps: int = 20, oracle_steps: int = 60, seed: int = 0
) -> list[str]:
    """What ``environment`` does that it must not, a line each; empty if it keeps the contract.

    Looks at the list of tasks of ``split`` and plays ``tasks`` of them: ``steps`` random actions, and up to
    ``oracle_steps`` of the oracle's.
    """
    listed = environment.tasks(split)
    found = list(_of_listing(environment, split, listed))
    for index in range(min(tasks, len(listed))):
        task = listed[index * len(listed) // min(tasks, len(listed))]
        episode_seed = derive_seed(seed, "contract", task.id)
        found += [f"{task.id}: {problem}" for problem in _of_play(environment, task, steps, episode_seed)]
        found += [f"{task.id}: {problem}" for problem in _of_privilege(environment, task, oracle_steps, episode_seed)]
    return found


def _of_listing(environment: Environment, split: str, listed: Sequence[Task]) -> Iterator[str]:
    if not environment.name:
        yield "the environment has no name"
    if not listed:
        yield f"the split {split!r} has no tasks"
    if list(environment.tasks(split)) != list(listed):
        yield f"the tasks of {split!r} differ when they are asked for again"
    if len({task.id for task in listed}) != len(listed):
        yield f"two tasks of {split!r} have the same id"
    if wrong := [task.id for task in listed if task.split != split or not task.kind]:
        yield f"{wrong[0]} names another split than {split!r}, or no kind"
    try:
        environment.tasks("no such split")
    except LeapError as error:
        if split not in str(error):
            yield f"the error for an unknown split does not name {split!r} as a choice"
    else:
        yield "an unknown split is not refused"


def _of_play(environment: Environment, task: Task, steps: int, seed: int) -> Iterator[str]:
    """Two episodes side by side, and a third in between that is given nonsense."""
    rng = Random(derive_seed(seed, "actions"))
    with environment.open(task, seed=seed) as first, environment.open(task, seed=seed) as second:
        if first.observation != second.observation:
            yield "two episodes with the same seed start differently"
        if not first.observation.text:
            yield "the first observation has no text"
        with environment.open(task, seed=seed) as third:
            yield from _of_nonsense(third)
        for _ in range(steps):
            actions = first.observation.admissible_actions
            if actions is not None and len(set(actions)) != len(actions):
                yield "an action is listed twice"
            action = rng.choice(actions) if actions else _NONSENSE
            one, other = first.step(action), second.step(action)
            if one != other:
                yield f"{action!r} has different outcomes in two episodes with the same seed and actions"
            yield from _of_transition(first, one)
            if one.done:
                break


def _of_nonsense(episode: Episode) -> Iterator[str]:
    before = episode.observation.admissible_actions
    answer = episode.step(_NONSENSE)
    if not answer.observation.text and before is not None:
        yield "an action that is not admissible gets no answer"
    if before is not None and answer.observation.admissible_actions != before:
        yield "an action that is not admissible changes what is admissible"


def _of_transition(episode: Episode, transition: Transition) -> Iterator[str]:
    if episode.observation != transition.observation:
        yield "the episode shows another observation than its last step returned"
    if not 0.0 <= episode.score() <= 1.0:
        yield f"the score {episode.score()} lies outside [0, 1]"


def _of_privilege(environment: Environment, task: Task, steps: int, seed: int) -> Iterator[str]:
    facts = environment.privileged(task)
    if facts.task_id != task.id or not facts.text:
        yield "the privileged facts have no text, or are another task's"
    oracle = environment.oracle(task)
    history: tuple[Step, ...] = ()
    with environment.open(task, seed=seed) as episode:
        for _ in range(steps):
            view = View(task=task, history=history, observation=episode.observation)
            decision = oracle.decide(view, Disclosure.P100, seed=seed)
            for disclosure in Disclosure:
                suggested = oracle.decide(view, disclosure, seed=seed)
                yield from _of_decision(view, suggested, disclosure)
                if suggested != oracle.decide(view, disclosure, seed=seed):
                    yield f"the oracle decides differently at {disclosure} when asked again"
            transition = episode.step(decision.action)
            history += (Step(observation=view.observation, decision=decision, reward=transition.reward),)
            if transition.done:
                break
        if episode.score() < SUCCESS_SCORE:
            yield f"the oracle scores {episode.score()} in {len(history)} steps with full privilege"


def _of_decision(view: View, decision: Decision, disclosure: Disclosure) -> Iterator[str]:
    if not view.observation.admits(decision.action):
        yield f"the oracle's action {decision.action!r} at {disclosure} is not admissible"
    if not decision.reason:
        yield f"the oracle gives no reason at {disclosure}"
