"""The records of the framework: frozen, keyword-only, checked when made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from leap_exp.core.errors import ConfigError, DataError
from leap_exp.core.privilege import Disclosure

QUERY_SLOT = "<query>"
"""Where an admissible action has this, any text of the agent's own may stand."""

SUCCESS_SCORE = 1.0 - 1e-6
"""A score from here on counts as success: 1, up to rounding."""


class StopReason(StrEnum):
    """Why an episode ended."""

    DONE = "done"
    STEP_LIMIT = "step_limit"
    STUCK = "stuck"
    """The policy repeated itself, and whoever ran the episode had asked to end it then."""
    INFRA_ERROR = "infra_error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One game, goal or query. ``id`` is stable everywhere; ``kind`` groups tasks in results."""

    id: str
    split: str
    instruction: str
    kind: str

    def __post_init__(self) -> None:
        """Refuse a task without a name or a text."""
        if not self.id or not self.instruction:
            raise DataError(f"A task needs an id and an instruction, got {self!r}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Exactly what the student was shown; ``admissible_actions`` is None where an environment lists none.

    An action that holds ``QUERY_SLOT``, such as ``search[<query>]``, stands for all that have a text there.
    """

    text: str
    admissible_actions: tuple[str, ...] | None

    def admits(self, action: str) -> bool:
        """Whether the environment would carry ``action`` out (true if it lists no actions)."""
        actions = self.admissible_actions
        return actions is None or action in actions or any(_fills(action, slot) for slot in actions)

    @property
    def query_action(self) -> str | None:
        """The first admissible action that takes a text of the agent's own, or None; a text alone if none is listed."""
        if self.admissible_actions is None:
            return QUERY_SLOT
        return next((action for action in self.admissible_actions if QUERY_SLOT in action), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A reason (may be empty) and the action that follows from it."""

    reason: str
    action: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionFailure:
    """A policy that could not be asked what it does (its server gave no answer), and why."""

    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """An observation, what was decided on it, and the reward that came of it."""

    observation: Observation
    decision: Decision
    reward: float

    @property
    def is_valid(self) -> bool:
        """Whether the action was admissible when it was taken."""
        return self.observation.admits(self.decision.action)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """What an environment answers to an action."""

    observation: Observation
    reward: float
    done: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """A finished episode's record. ``score`` in [0, 1] is None exactly when ``stop`` is INFRA_ERROR."""

    task: Task
    policy_id: str
    seed: int
    steps: tuple[Step, ...]
    stop: StopReason
    score: float | None
    error: str = ""

    def __post_init__(self) -> None:
        """Refuse a crash with a score, a score without a run, and a score out of range."""
        if (self.score is None) != (self.stop is StopReason.INFRA_ERROR):
            raise DataError(f"{self.task.id}: stop {self.stop} does not go with score {self.score}.")
        if self.score is not None and not 0.0 <= self.score <= 1.0:
            raise DataError(f"{self.task.id}: score {self.score} lies outside [0, 1].")

    @property
    def succeeded(self) -> bool:
        """Whether the score is 1 up to rounding."""
        return self.score is not None and self.score >= SUCCESS_SCORE


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """All that a student ever gets. It has no place for a briefing: leaking privilege is a type error."""

    task: Task
    history: tuple[Step, ...]
    observation: Observation


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivilegedFacts:
    """What is known of a task at training time only: as text for a teacher, as data for a program."""

    task_id: str
    text: str
    data: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Briefing:
    """Privileged facts with the rule for using them; without privilege there are no facts."""

    disclosure: Disclosure
    facts: PrivilegedFacts | None

    def __post_init__(self) -> None:
        """Refuse facts without a rule that allows them, and such a rule without facts."""
        if (self.facts is None) != (self.disclosure is Disclosure.NONE):
            raise ConfigError(f"Disclosure {self.disclosure} does not go with facts {self.facts!r}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """A teacher's decisions for a trajectory: one a step, each admissible at that step."""

    trajectory: Trajectory
    decisions: tuple[Decision, ...]
    changed: tuple[bool, ...]
    teacher_id: str
    briefing: Briefing

    def __post_init__(self) -> None:
        """Refuse a correction of another length and actions that the student could not take."""
        steps = self.trajectory.steps
        if not len(steps) == len(self.decisions) == len(self.changed):
            raise DataError(
                f"{self.trajectory.task.id}: {len(steps)} steps, {len(self.decisions)} decisions, "
                f"{len(self.changed)} change marks; all must be equal."
            )
        for step, decision in zip(steps, self.decisions, strict=True):
            if not step.observation.admits(decision.action):
                raise DataError(f"{self.trajectory.task.id}: correction {decision.action!r} is not admissible.")

    @classmethod
    def of(
        cls, trajectory: Trajectory, decisions: Sequence[Decision], *, teacher_id: str, briefing: Briefing
    ) -> "Correction":
        """The correction of ``trajectory`` by ``decisions``; a step is changed if its action is another one."""
        return cls(
            trajectory=trajectory,
            decisions=tuple(decisions),
            changed=tuple(
                decision.action != step.decision.action
                for decision, step in zip(decisions, trajectory.steps, strict=True)
            ),
            teacher_id=teacher_id,
            briefing=briefing,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectionFailure:
    """A trajectory that a teacher could not correct, and why."""

    trajectory: Trajectory
    teacher_id: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A correction chosen for training: the round that made it and its place among that round's corrections."""

    round_index: int
    position: int
    task_id: str


def _fills(action: str, slot: str) -> bool:
    """Whether ``action`` is ``slot`` with a text of one line in its place for one, if it has any."""
    before, found, after = slot.partition(QUERY_SLOT)
    length = len(action) - len(before) - len(after)
    return bool(found) and length > 0 and action.startswith(before) and action.endswith(after) and "\n" not in action


def views(trajectory: Trajectory) -> Sequence[View]:
    """The view that the student had at each step of ``trajectory``."""
    return [
        View(task=trajectory.task, history=trajectory.steps[:index], observation=step.observation)
        for index, step in enumerate(trajectory.steps)
    ]
