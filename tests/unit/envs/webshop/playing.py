"""Cached environments, and episodes played by any rule."""

from collections.abc import Callable
from functools import cache

from leap_exp.core.types import Decision, Step, Task, View
from leap_exp.envs.webshop.config import WebShopConfig
from leap_exp.envs.webshop.environment import WebShopEnvironment


@cache
def shop(**settings: object) -> WebShopEnvironment:
    return WebShopEnvironment(WebShopConfig(**settings))


def sample(environment: WebShopEnvironment, count: int, split: str = "train") -> list[Task]:
    """Return tasks evenly spread over a split."""
    tasks = environment.tasks(split)
    return [tasks[index * len(tasks) // count] for index in range(count)]


def play(
    environment: WebShopEnvironment, task: Task, decide: Callable[[View], Decision | str], *, limit: int = 15
) -> tuple[float, list[View], list[Decision]]:
    """Play an episode; return its score, its views and the decision in each."""
    seen, decisions = [], []
    with environment.open(task, seed=0) as episode:
        history: tuple[Step, ...] = ()
        for _ in range(limit):
            view = View(task=task, history=history, observation=episode.observation)
            decided = decide(view)
            decision = Decision(reason="", action=decided) if isinstance(decided, str) else decided
            seen.append(view)
            decisions.append(decision)
            transition = episode.step(decision.action)
            history += (Step(observation=view.observation, decision=decision, reward=transition.reward),)
            if transition.done:
                break
        return episode.score(), seen, decisions
