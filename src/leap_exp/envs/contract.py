"""Check that an environment keeps the contract of ``leap_exp.core.environments.Environment``."""

from collections.abc import Iterator, Sequence
from random import Random

from leap_exp.core.environments import Environment, Episode
from leap_exp.core.errors import LeapError
from leap_exp.core.privilege import Disclosure
from leap_exp.core.seeding import derive_seed
from leap_exp.core.types import SUCCESS_SCORE, Decision, Observation, Step, Task, Transition, View

_NONSENSE = "perform an action that no environment knows"


def contract_violations(
    environment: Environment, split: str, *, tasks: int = 3, steps: int = 20, oracle_steps: int = 60, seed: int = 0
) -> list[str]:
    """Return the contract violations found in ``environment``, one line each; empty if there are none.

    Args:
        environment: The environment to check.
        split: The split whose tasks are listed and played.
        tasks: How many tasks to play, spread evenly over the split.
        steps: Random actions per task.
        oracle_steps: Maximum number of the oracle's actions per task.
        seed: Seed of the episodes and of the random actions.
    """
    listed = environment.tasks(split)
    found = list(_listing_violations(environment, split, listed))
    for index in range(min(tasks, len(listed))):
        task = listed[index * len(listed) // min(tasks, len(listed))]
        episode_seed = derive_seed(seed, "contract", task.id)
        found += [f"{task.id}: {problem}" for problem in _play_violations(environment, task, steps, episode_seed)]
        found += [
            f"{task.id}: {problem}" for problem in _privilege_violations(environment, task, oracle_steps, episode_seed)
        ]
    return found


def _listing_violations(environment: Environment, split: str, listed: Sequence[Task]) -> Iterator[str]:
    if not environment.name:
        yield "the environment has no name"
    if any(not environment.prompts.of(task).student for task in listed):
        yield "the environment has no instructions for students"
    if not listed:
        yield f"the split {split!r} has no tasks"
    if list(environment.tasks(split)) != list(listed):
        yield f"listing the tasks of {split!r} again gives a different list"
    if len({task.id for task in listed}) != len(listed):
        yield f"two tasks of {split!r} have the same id"
    if environment.splits() and split not in environment.splits():
        yield f"the splits do not include {split!r}"
    if wrong := [task.id for task in listed if task.split != split or not task.kind]:
        yield f"{wrong[0]} has another split than {split!r}, or no kind"
    try:
        environment.tasks("no such split")
    except LeapError as error:
        if split not in str(error):
            yield f"the error for an unknown split does not name {split!r} as a choice"
    else:
        yield "an unknown split raises no error"


def _play_violations(environment: Environment, task: Task, steps: int, seed: int) -> Iterator[str]:
    """Play two equal episodes side by side, an inadmissible action in a third one, and the same again in a fourth."""
    rng = Random(derive_seed(seed, "actions"))
    taken: list[tuple[str, Transition]] = []
    with environment.open(task, seed=seed) as first, environment.open(task, seed=seed) as second:
        if first.observation != second.observation:
            yield "two episodes with the same seed start differently"
        if not first.observation.text:
            yield "the first observation has no text"
        if not _says(first.observation, task.instruction):
            yield "the first observation does not contain the task's instruction, which a student sees nowhere else"
        with environment.open(task, seed=seed) as third:
            yield from _nonsense_violations(third)
        for _ in range(steps):
            actions = first.observation.admissible_actions
            if actions is not None and len(set(actions)) != len(actions):
                yield "an action is listed twice"
            action = rng.choice(actions) if actions else _NONSENSE
            one, other = first.step(action), second.step(action)
            if one != other:
                yield f"{action!r} has different results in two episodes with the same seed and actions"
            yield from _transition_violations(first, one)
            taken.append((action, one))
            if one.done:
                break
    with environment.open(task, seed=seed) as again:
        if any(again.step(action) != transition for action, transition in taken):
            yield "an episode that is played again with the same seed and actions has other results"


def _says(observation: Observation, instruction: str) -> bool:
    """Return whether the words of ``instruction`` are in ``observation``, whatever their case and layout."""
    return " ".join(instruction.lower().split()) in " ".join(observation.text.lower().split())


def _nonsense_violations(episode: Episode) -> Iterator[str]:
    before = episode.observation.admissible_actions
    answer = episode.step(_NONSENSE)
    if not answer.observation.text and before is not None:
        yield "an inadmissible action gets no answer"
    if before is not None and answer.observation.admissible_actions != before:
        yield "an inadmissible action changes the admissible actions"


def _transition_violations(episode: Episode, transition: Transition) -> Iterator[str]:
    if episode.observation != transition.observation:
        yield "the episode's observation differs from the one that its last step returned"
    if not 0.0 <= episode.score() <= 1.0:
        yield f"the score {episode.score()} is not in [0, 1]"


def _privilege_violations(environment: Environment, task: Task, steps: int, seed: int) -> Iterator[str]:
    """Let the oracle play with full privilege, and check its decisions under every disclosure."""
    facts = environment.privileged(task)
    if facts.task_id != task.id or not facts.text:
        yield "the privileged facts have no text, or belong to another task"
    oracle = environment.oracle(task)
    history: tuple[Step, ...] = ()
    with environment.open(task, seed=seed) as episode:
        for _ in range(steps):
            view = View(task=task, history=history, observation=episode.observation)
            decision = oracle.decide(view, Disclosure.P100, seed=seed)
            for disclosure in Disclosure:
                suggested = oracle.decide(view, disclosure, seed=seed)
                yield from _decision_violations(view, suggested, disclosure)
                if suggested != oracle.decide(view, disclosure, seed=seed):
                    yield f"the oracle's second decision at {disclosure} for the same view differs from the first"
            transition = episode.step(decision.action)
            history += (Step(observation=view.observation, decision=decision, reward=transition.reward),)
            if transition.done:
                break
        if episode.score() < SUCCESS_SCORE:
            yield f"the oracle scores only {episode.score()} in {len(history)} steps with full privilege"


def _decision_violations(view: View, decision: Decision, disclosure: Disclosure) -> Iterator[str]:
    if not view.observation.admits(decision.action):
        yield f"the oracle's action {decision.action!r} at {disclosure} is not admissible"
    if not decision.reason:
        yield f"the oracle gives no reason at {disclosure}"
