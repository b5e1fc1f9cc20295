"""The tasks of an environment, and their exact scores as rewards."""

import asyncio
from collections.abc import Iterator
from functools import cache
from typing import Any

import verifiers.v1 as vf
from pydantic import Field

from leap_exp.core.environments import Environment
from leap_exp.core.privilege import Disclosure
from leap_exp.core.seeding import derive_seed
from leap_exp.core.types import SUCCESS_SCORE, Task
from leap_exp.interfaces.sessions import SharedEnvironment
from leap_exp.stages.evaluate import draw_panel
from leap_exp.stages.rollout import rollout
from leap_exp.students.scripted import OraclePolicy
from leap_exp.tokens.markup import MESSAGES_MARKUP
from leap_exp.tokens.renderer import PromptConfig, Renderer

SCORE, STEPS, INADMISSIBLE = "score", "steps", "inadmissible_steps"
"""Keys of a trace's ``info``."""


class LeapTasksetConfig(vf.TasksetConfig):
    """Which tasks of which environment, and how models read them."""

    environment: str = "alfworld"
    """alfworld, webshop, intercode_bash, or another one that is registered with leap_exp."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Settings of the environment that differ from its defaults, such as {"games": "official"}."""
    split: str = "train"
    """Split of the tasks, such as train, or valid_unseen (ALFWorld) and test (the others) for evaluation."""
    panel_size: int | None = Field(None, ge=1)
    """Number of tasks, balanced over their kinds as in `leap eval`; None for the whole split."""
    panel_seed: int = 0
    """Seed of the panel and of the episodes."""
    max_steps: int | None = Field(None, ge=1)
    """Steps after which an episode ends; None for the environment's own number for this split."""
    reasons: bool = True
    """Whether the model writes a reason before each action."""


class LeapTaskData(vf.TaskData):
    """A task, and what is needed to start an episode of it in any process. ``id`` is the task's own."""

    environment: str
    settings: dict[str, Any]
    split: str
    instruction: str
    kind: str
    seed: int
    max_steps: int
    reasons: bool

    @property
    def leap_task(self) -> Task:
        """The task as leap_exp knows it."""
        assert self.id is not None  # noqa: S101 - set for every task of the taskset
        return Task(id=self.id, split=self.split, instruction=self.instruction, kind=self.kind)

    @property
    def shared(self) -> SharedEnvironment:
        """The environment of the task in this process."""
        return SharedEnvironment.of(self.environment, self.settings)


class LeapTask(vf.Task[LeapTaskData]):
    """A task whose reward is the environment's exact score of the episode."""

    @property
    def key(self) -> str:
        """The task's id, which is stable everywhere."""
        return str(self.data.id)

    @vf.reward
    async def exact_score(self, trace: vf.Trace) -> float:
        """Return the score at the end of the episode, in [0, 1]; an episode that was not started has 0."""
        return float(trace.info[SCORE]) if trace.nodes else 0.0

    @vf.metric
    async def success(self, trace: vf.Trace) -> float:
        """Return 1 if the task was solved, else 0."""
        return float(await self.exact_score(trace) >= SUCCESS_SCORE)

    @vf.metric
    async def steps(self, trace: vf.Trace) -> float:
        """Return the number of steps taken."""
        return float(trace.info.get(STEPS, 0))

    @vf.metric
    async def inadmissible_steps(self, trace: vf.Trace) -> float:
        """Return how many of the steps were not admissible."""
        return float(trace.info.get(INADMISSIBLE, 0))

    async def validate(self, runtime: vf.Runtime) -> bool:
        """Return whether the environment's scripted expert, who knows everything, gets the full score."""
        return await asyncio.to_thread(_expert_solves, self.data)


class LeapTaskset(vf.Taskset[LeapTask, LeapTasksetConfig]):
    """The tasks of a split, or of a panel drawn from it."""

    def load(self) -> Iterator[LeapTask]:
        """Yield the tasks. Their first observation is shown when the episode starts."""
        config = self.config
        shared = SharedEnvironment.of(config.environment, config.settings)
        environment = shared.environment
        panel = draw_panel(
            environment.tasks(config.split),
            split=config.split,
            size=config.panel_size,
            seed=config.panel_seed,
            advice=environment.more_tasks(config.split),
        )
        max_steps = config.max_steps or shared.max_steps(config.split)
        render = renderer(environment, reasons=config.reasons)
        for task in panel.tasks:
            data = LeapTaskData(
                id=task.id,
                name=task.id,
                description=task.instruction,
                system_prompt=render.instructions(task),
                environment=config.environment,
                settings=config.settings,
                split=task.split,
                instruction=task.instruction,
                kind=task.kind,
                seed=derive_seed(config.panel_seed, "episode", task.id),
                max_steps=max_steps,
                reasons=config.reasons,
            )
            yield LeapTask(data, config.task)


@cache
def renderer(environment: Environment, *, reasons: bool) -> Renderer:
    """Return what renders the environment's texts as chat messages."""
    return Renderer(environment.prompts, MESSAGES_MARKUP, PromptConfig(reasons=reasons))


def _expert_solves(data: LeapTaskData) -> bool:
    environment = data.shared.environment
    (trajectory,) = rollout(
        environment,
        OraclePolicy(environment, Disclosure.P100),
        [data.leap_task],
        seed=data.seed,
        max_steps=data.max_steps,
        batch=1,
        on_progress=lambda finished, total: None,  # noqa: ARG005 - the interface of the stages
    )
    return trajectory.succeeded
