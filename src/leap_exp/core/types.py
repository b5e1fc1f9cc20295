"""The records of the framework: immutable, and checked when they are made."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from leap_exp.core.errors import ConfigError, DataError
from leap_exp.core.privilege import Disclosure

QUERY_SLOT = "<query>"
"""In an admissible action, a place for any text of the agent's choice."""

CUT_OFF, NO_ACTION = "(cut off)", "(no action)"
"""How the action of an answer without one begins. A quoted text follows, which no shell would run."""

SUCCESS_SCORE = 1.0 - 1e-6
"""The lowest score that counts as success: 1, up to rounding."""

OMITTED_IF_DEFAULT: Mapping[str, bool] = {"omitted_if_default": True}
"""Metadata of a field that older record files do not have: it is only written if it differs from its default."""


class StopReason(StrEnum):
    """Why an episode ended."""

    DONE = "done"
    STEP_LIMIT = "step_limit"
    STUCK = "stuck"
    """The policy repeated itself, and the run stops such episodes."""
    INFRA_ERROR = "infra_error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One game, goal or query. ``id`` is stable everywhere; ``kind`` groups tasks in results.

    ``environment`` names the one that the task belongs to among several that are joined; it is empty for a single one.
    """

    id: str
    split: str
    instruction: str
    kind: str
    environment: str = field(default="", metadata=OMITTED_IF_DEFAULT)

    @property
    def full_kind(self) -> str:
        """The kind, below the environment if several are joined."""
        return f"{self.environment}/{self.kind}" if self.environment else self.kind

    def __post_init__(self) -> None:
        """Check that id and instruction are not empty."""
        if not self.id or not self.instruction:
            raise DataError(f"A task needs an id and an instruction, got {self!r}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Exactly what the student was shown; ``admissible_actions`` is None if the environment lists none.

    An action with ``QUERY_SLOT``, such as ``search[<query>]``, means all actions with some text in that place.
    """

    text: str
    admissible_actions: tuple[str, ...] | None

    def admits(self, action: str) -> bool:
        """Return whether ``action`` is admissible; if the environment lists no actions, every action is."""
        if action.startswith((f"{CUT_OFF} ", f"{NO_ACTION} ")):
            return False
        actions = self.admissible_actions
        return actions is None or action in actions or any(_fills(action, slot) for slot in actions)

    @property
    def query_action(self) -> str | None:
        """The first admissible action with a query slot, or None; the slot alone if no actions are listed."""
        if self.admissible_actions is None:
            return QUERY_SLOT
        return next((action for action in self.admissible_actions if QUERY_SLOT in action), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentPrompts:
    """How models are told about an environment.

    Attributes:
        student: Jinja template of the student's instructions. Its variables are ``reasons``, ``list_actions``,
            ``answer`` (the form of answers) and ``brief`` (one line, for plain transcripts); see
            leap_exp.tokens.renderer.
        teacher: Jinja template that sets ``description``, ``actions``, ``hidden``, ``search``, ``discreet`` and
            ``outright`` for teachers that are language models; empty for a general description.
        condense: Returns an observation's text without what only repeats the action before it.
        members: The prompts of each of several environments that are joined, by name; empty for a single one.
    """

    student: str
    teacher: str = ""
    condense: Callable[[Observation], str] = field(default=lambda observation: observation.text.strip())
    members: Mapping[str, "EnvironmentPrompts"] = field(default_factory=dict)

    def of(self, task: Task) -> "EnvironmentPrompts":
        """Return the prompts of the environment that ``task`` belongs to.

        Raises:
            DataError: It is none of those that are joined.
        """
        if self.members and task.environment not in self.members:
            raise foreign_task(task, self.members)
        return self.members.get(task.environment, self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A reason, which may be empty, and an action."""

    reason: str
    action: str

    @property
    def is_cut_off(self) -> bool:
        """Whether the answer was cut off before its action was complete."""
        return self.action.startswith(f"{CUT_OFF} ")


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionFailure:
    """Why a policy made no decision, for example because its server did not answer."""

    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """An observation, the decision on it, and the reward.

    Attributes:
        listed_as: The admissible action that the environment took the written one for, such as ``click[buy now]`` for
            ``click[Buy Now].``; empty if it was written as it is listed, or taken for none.
        taken_by: Id of the teacher that took the step; empty if the trajectory's own policy did.
    """

    observation: Observation
    decision: Decision
    reward: float
    listed_as: str = field(default="", metadata=OMITTED_IF_DEFAULT)
    taken_by: str = field(default="", metadata=OMITTED_IF_DEFAULT)

    @property
    def action(self) -> str:
        """The action as the environment lists it, or as written if that is how it is listed or if it is not."""
        return self.listed_as or self.decision.action

    @property
    def listed_decision(self) -> Decision:
        """The decision with the action as the environment lists it."""
        return replace(self.decision, action=self.action)

    @property
    def is_valid(self) -> bool:
        """Whether the action was admissible when it was taken."""
        return self.observation.admits(self.action)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """An environment's answer to an action; ``listed_as`` is that of the ``Step``."""

    observation: Observation
    reward: float
    done: bool
    listed_as: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """The record of an episode. ``score``, in [0, 1], is None exactly if ``stop`` is INFRA_ERROR.

    Attributes:
        resumed_at: Step at which another trajectory of this task was taken up again: the steps before are its own,
            and a teacher went on from there. None for an episode from its start.
        sample: Number of the episode among those of its task, where a task has several.
    """

    task: Task
    policy_id: str
    seed: int
    steps: tuple[Step, ...]
    stop: StopReason
    score: float | None
    error: str = ""
    resumed_at: int | None = field(default=None, metadata=OMITTED_IF_DEFAULT)
    sample: int = field(default=0, metadata=OMITTED_IF_DEFAULT)

    def __post_init__(self) -> None:
        """Check that score and stop reason fit together, and the range of the score."""
        if (self.score is None) != (self.stop is StopReason.INFRA_ERROR):
            raise DataError(f"{self.task.id}: stop {self.stop} does not go with score {self.score}.")
        if self.score is not None and not 0.0 <= self.score <= 1.0:
            raise DataError(f"{self.task.id}: score {self.score} lies outside [0, 1].")

    @property
    def name(self) -> str:
        """The task's id, with the number of the sample behind all but the first."""
        return f"{self.task.id}#{self.sample}" if self.sample else self.task.id

    @property
    def succeeded(self) -> bool:
        """Whether the score is 1 up to rounding."""
        return self.score is not None and self.score >= SUCCESS_SCORE


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """All that a student gets to see. It has no field for a briefing, so leaking privileged facts is a type error.

    ``sample`` is that of the trajectory. A student that draws its decisions draws others in each sample. ``left_out``
    is the number of steps before the history that are not shown.
    """

    task: Task
    history: tuple[Step, ...]
    observation: Observation
    sample: int = 0
    left_out: int = 0

    def latest(self, count: int) -> "View":
        """Return this view with the latest ``count`` steps of its history alone."""
        more = max(0, len(self.history) - count)
        return replace(self, history=self.history[more:], left_out=self.left_out + more) if more else self

    @property
    def scope(self) -> tuple[str | int, ...]:
        """What the randomness of a decision is derived from, besides a seed and its use: task, step and sample."""
        place = self.task.id, self.left_out + len(self.history)
        return (*place, "sample", self.sample) if self.sample else place


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivilegedFacts:
    """What is known about a task at training time only: as text for a teacher, and as data for programs."""

    task_id: str
    text: str
    data: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Briefing:
    """Privileged facts and the rule for using them; without privilege there are no facts."""

    disclosure: Disclosure
    facts: PrivilegedFacts | None

    def __post_init__(self) -> None:
        """Check that there are facts exactly if the disclosure allows them."""
        if (self.facts is None) != (self.disclosure is Disclosure.NONE):
            raise ConfigError(f"Disclosure {self.disclosure} does not go with facts {self.facts!r}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """A teacher's decisions for a trajectory: one per step, each admissible there.

    Attributes:
        trajectory: What is corrected.
        decisions: The teacher's decision at each step.
        changed: Whether each step was a mistake of the student: the teacher's action is another one.
        teacher_id: Who corrected.
        briefing: What the teacher knew.
        context_steps: Steps that only lead to others. The teacher was not asked there, the decision is the student's
            own, and nothing is learnt from it.
        briefed: Whether the student is trained on it with the briefing in its prompt, in order to learn to use it.
    """

    trajectory: Trajectory
    decisions: tuple[Decision, ...]
    changed: tuple[bool, ...]
    teacher_id: str
    briefing: Briefing
    context_steps: tuple[int, ...] = field(default=(), metadata=OMITTED_IF_DEFAULT)
    briefed: bool = field(default=False, metadata=OMITTED_IF_DEFAULT)

    def __post_init__(self) -> None:
        """Check the number of decisions, and that each action to learn from is admissible."""
        steps = self.trajectory.steps
        if not len(steps) == len(self.decisions) == len(self.changed):
            raise DataError(
                f"{self.trajectory.task.id}: {len(steps)} steps, {len(self.decisions)} decisions, "
                f"{len(self.changed)} change marks; all must be equal."
            )
        for index in self.learnt_steps:
            action = self.decisions[index].action
            if not steps[index].observation.admits(action):
                raise DataError(f"{self.trajectory.task.id}: correction {action!r} is not admissible.")

    @classmethod
    def of(
        cls,
        trajectory: Trajectory,
        decisions: Sequence[Decision],
        *,
        teacher_id: str,
        briefing: Briefing,
        asked: Collection[int] | None = None,
    ) -> "Correction":
        """Return the correction of ``trajectory`` by ``decisions``.

        A step is changed if its action differs. Another way to write the same action is no difference. A step that a
        teacher took is no mistake of the student: it stays as it is, if it was admissible.

        Args:
            trajectory: What is corrected.
            decisions: One per step; of the steps that are not ``asked`` about, any.
            teacher_id: Who decided.
            briefing: What the teacher knew.
            asked: The steps at which the teacher decided; None for all. Other steps of the student are context.
        """
        settled, changed, context = [], [], []
        for index, (step, decision) in enumerate(zip(trajectory.steps, decisions, strict=True)):
            mark = False
            if step.taken_by and step.is_valid:
                settled.append(step.listed_decision)
            elif asked is not None and index not in asked:
                settled.append(step.decision)
                context.append(index)
            else:
                settled.append(decision)
                mark = not step.taken_by and decision.action not in (step.action, step.decision.action)
            changed.append(mark)
        return cls(
            trajectory=trajectory,
            decisions=tuple(settled),
            changed=tuple(changed),
            teacher_id=teacher_id,
            briefing=briefing,
            context_steps=tuple(context),
        )

    @property
    def learnt_steps(self) -> tuple[int, ...]:
        """The steps that are learnt from: all but the context."""
        return tuple(index for index in range(len(self.decisions)) if index not in self.context_steps)

    @property
    def judged_steps(self) -> tuple[int, ...]:
        """The student's own steps that are learnt from: where the teacher agreed, or decided otherwise."""
        return tuple(index for index in self.learnt_steps if not self.trajectory.steps[index].taken_by)

    def limited_to(self, asked: Collection[int]) -> "Correction":
        """Return this correction as if the teacher had only been asked about the steps ``asked``."""
        return Correction.of(
            self.trajectory, self.decisions, teacher_id=self.teacher_id, briefing=self.briefing, asked=asked
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectionFailure:
    """A trajectory that a teacher could not correct, with the reason."""

    trajectory: Trajectory
    teacher_id: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A correction selected for training: its round, and its position among that round's corrections."""

    round_index: int
    position: int
    task_id: str


def _fills(action: str, slot: str) -> bool:
    """Return whether ``action`` is ``slot`` with one line of text in the query slot."""
    before, found, after = slot.partition(QUERY_SLOT)
    length = len(action) - len(before) - len(after)
    return bool(found) and length > 0 and action.startswith(before) and action.endswith(after) and "\n" not in action


def foreign_task(task: Task, environments: Iterable[str]) -> DataError:
    """Return the error that ``task`` belongs to none of the ``environments`` that are joined."""
    return DataError(
        f"The task {task.id!r} belongs to {task.environment or 'a run of one environment'}, not to one of those that "
        f"are joined: {', '.join(environments)}."
    )


def views(trajectory: Trajectory) -> Sequence[View]:
    """Return what the student saw at each step of ``trajectory``."""
    return [
        View(
            task=trajectory.task,
            history=trajectory.steps[:index],
            observation=step.observation,
            sample=trajectory.sample,
        )
        for index, step in enumerate(trajectory.steps)
    ]
