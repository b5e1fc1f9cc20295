"""The plan of a run: its stages with their tokens, seconds and dollars, and the memory that its student needs."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from leap_exp.config.panels import find_panel
from leap_exp.config.run import RunConfig
from leap_exp.core.errors import LeapError
from leap_exp.core.limits import StepLimit
from leap_exp.llm import Endpoint
from leap_exp.stages.aggregate import Aggregation
from leap_exp.students.config import ApiStudentConfig, HfStudentConfig, VllmStudentConfig
from leap_exp.students.sizing.memory import Sizing, acting_bytes, training_bytes
from leap_exp.students.sizing.shapes import model_shape
from leap_exp.students.sizing.speed import RunPace, Speed
from leap_exp.teachers.config import LlmTeacherConfig, SelfTeacherConfig
from leap_exp.trainers.config import FitConfig

OPENING_TOKENS = 400
"""Tokens that the instructions of a prompt are assumed to have."""
STEP_TOKENS, PLAIN_STEP_TOKENS = 300, 60
"""Tokens that a step is assumed to have, with and without the list of admissible actions."""
ACTION_TOKENS = 12
"""Tokens that are assumed to be written where the student chooses among the admissible actions."""
SCORED_SHARE = 0.25
"""Share of a trajectory's tokens that is assumed to be the teacher's responses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStage:
    """All times that a stage runs in a run, together, if every episode takes as many steps as it may.

    Attributes:
        name: The stage.
        work: What it does, in words.
        tokens: Tokens that a model reads and writes, or trains on.
        seconds: None if it cannot be known.
        dollars: None if prices are unknown.
    """

    name: str
    work: str
    tokens: int = 0
    seconds: float | None = 0.0
    dollars: float | None = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tokens:
    """Tokens of an episode of a number of steps: each is read once, because a conversation is cached, or written."""

    read: int
    written: int

    @property
    def all(self) -> int:
        return self.read + self.written


def plan_stages(config: RunConfig, speed: Speed | None, pace: RunPace | None = None) -> list[PlannedStage]:
    """Return the stages of the run.

    Args:
        config: The run's settings.
        speed: Speed of a student in this process, or None.
        pace: What an earlier run of the student in this environment has taken, or None. It replaces assumptions about
            the lengths of episodes.
    """
    rounds, panel = config.rounds, _panel_size(config)
    rollouts = config.rollouts.tasks * config.rollouts.per_task * rounds
    evaluations = panel * (config.evaluation.samples or 1) * (rounds + 1)
    stages = []
    if rounds:
        demonstrations = f"{config.demonstrations.count:,} episodes of the expert"
        stages.append(PlannedStage(name="demonstrate", work=demonstrations))
        stages.append(_acting(config, "rollout", rollouts, _steps(config.env.step_limits.train), speed, pace))
        stages.append(_correcting(config, rollouts, speed))
        stages.append(_training(config, speed, pace))
        stages.append(_probing(config, speed, pace))
    stages.append(_acting(config, "evaluate", evaluations, _evaluation_steps(config), speed, pace))
    return stages


def plan_memory(config: RunConfig, *, number_bytes: int, on_accelerator: bool) -> Mapping[str, Mapping[str, float]]:
    """Return the bytes of training and acting by their use; empty for a student without weights in this process.

    Training is that of the longest trajectory; on an accelerator, more of them share a batch where there is room.

    Raises:
        ConfigError: The shape of the model is not known.
    """
    student = config.student
    if not isinstance(student, HfStudentConfig):
        return {}
    shape = model_shape(student.model)
    layers = shape.layers if student.lora.top_layers is None else student.lora.top_layers
    sizing = Sizing(
        shape=shape,
        number_bytes=number_bytes,
        quantization=student.quantization,
        rank=student.lora.r,
        adapted_layers=layers,
        dropout=student.lora.dropout > 0,
        checkpointed=on_accelerator,
        on_accelerator=on_accelerator,
    )
    rows = config.trainer.batch_size if isinstance(config.trainer, FitConfig) and not on_accelerator else 1
    tokens = rows * student.context_length
    memory: dict[str, Mapping[str, float]] = {}
    if config.rounds:
        scored = int(SCORED_SHARE * tokens)
        memory["train"] = training_bytes(sizing, rows=rows, length=student.context_length, scored=scored)
    if not isinstance(student, VllmStudentConfig):
        memory["act"] = acting_bytes(sizing, conversations=config.batch, length=student.context_length)
    return memory


def _episode(config: RunConfig, steps: int) -> _Tokens:
    """Return the tokens of an episode of ``steps`` steps."""
    student = config.student
    lists = getattr(student, "list_actions", True)
    step = STEP_TOKENS if lists else PLAIN_STEP_TOKENS
    answer = ACTION_TOKENS
    if isinstance(student, ApiStudentConfig):
        answer = student.endpoint.max_tokens
    elif isinstance(student, HfStudentConfig) and (student.decoding == "free" or student.reasons):
        answer = student.max_new_tokens
    return _Tokens(read=OPENING_TOKENS + steps * step, written=steps * answer)


def _acting(
    config: RunConfig, name: str, episodes: int, steps: int, speed: Speed | None, pace: RunPace | None
) -> PlannedStage:
    tokens, student = _episode(config, steps), config.student
    work = f"{episodes:,} episodes of up to {steps} steps"
    if not isinstance(student, HfStudentConfig | ApiStudentConfig):
        return PlannedStage(name=name, work=work)
    seconds = dollars = None
    if isinstance(student, ApiStudentConfig):
        # Without a conversation's cache, each request reads all turns so far.
        read = sum(min(OPENING_TOKENS + step * STEP_TOKENS, student.context_length) for step in range(1, steps + 1))
        tokens = _Tokens(read=read, written=tokens.written)
        dollars = student.endpoint.cost(episodes * tokens.read, episodes * tokens.written)
    elif pace is not None:
        seconds, dollars = episodes * pace.episode_seconds, 0.0
    elif isinstance(student, VllmStudentConfig):
        dollars = 0.0
    elif speed is not None:
        seconds, dollars = episodes * (tokens.read / speed.read + tokens.written / speed.written), 0.0
    return PlannedStage(name=name, work=work, tokens=episodes * tokens.all, seconds=seconds, dollars=dollars)


def _correcting(config: RunConfig, trajectories: int, speed: Speed | None) -> PlannedStage:
    work = f"up to {trajectories:,} trajectories"
    steps = _steps(config.env.step_limits.train)
    teacher = config.teacher
    teacher = getattr(teacher, "inner", teacher)
    if isinstance(teacher, LlmTeacherConfig):
        endpoint: Endpoint = teacher.endpoint
        read, written = OPENING_TOKENS + steps * STEP_TOKENS, endpoint.max_tokens
        return PlannedStage(
            name="correct",
            work=f"{work}, by {endpoint.name}",
            tokens=trajectories * (read + written),
            seconds=None,
            dollars=endpoint.cost(trajectories * read, trajectories * written),
        )
    if isinstance(teacher, SelfTeacherConfig):
        acting = _acting(config, "correct", trajectories, steps, speed, None)
        return PlannedStage(name="correct", work=work, tokens=acting.tokens, seconds=acting.seconds)
    return PlannedStage(name="correct", work=work)


def _training(config: RunConfig, speed: Speed | None, pace: RunPace | None) -> PlannedStage:
    demonstrations, rollouts = config.demonstrations.count, config.rollouts.tasks * config.rollouts.per_task
    numbers = range(config.rounds + 1)
    sizes = {
        Aggregation.ALL: [demonstrations + index * rollouts for index in numbers],
        Aggregation.BALANCED: [
            (index + 1) * min(demonstrations, rollouts if index else demonstrations) for index in numbers
        ],
        Aggregation.LATEST: [rollouts if index else demonstrations for index in numbers],
    }[Aggregation(config.aggregate)]
    epochs = config.trainer.epochs if isinstance(config.trainer, FitConfig) else 1.0
    trained = (1 - config.trainer.validation_share) * sum(sizes) * epochs
    tokens = int(trained * _trajectory_tokens(config, pace))
    limit = config.trainer.max_tokens if isinstance(config.trainer, FitConfig) else None
    if limit is not None:
        tokens = min(tokens, limit * len(sizes))
    known = pace or speed
    seconds = tokens / known.trained if known else None
    work = f"{sizes[0]:,} to {sizes[-1]:,} trajectories per round, {epochs:g} epochs"
    return PlannedStage(name="train", work=work, tokens=tokens, seconds=seconds)


def _probing(config: RunConfig, speed: Speed | None, pace: RunPace | None) -> PlannedStage:
    trajectories = 4 * config.probes * (config.rounds + 1)
    tokens = int(trajectories * _trajectory_tokens(config, pace))
    seconds = tokens / speed.read if speed else None
    return PlannedStage(name="probe", work=f"up to {trajectories:,} trajectories", tokens=tokens, seconds=seconds)


def _trajectory_tokens(config: RunConfig, pace: RunPace | None) -> float:
    return pace.trajectory_tokens if pace else _episode(config, _steps(config.env.step_limits.train)).all


def _steps(limit: StepLimit) -> int:
    """Return the most steps of an episode: of joined environments, their mean."""
    return limit if isinstance(limit, int) else round(fmean(limit.values()))


def _evaluation_steps(config: RunConfig) -> int:
    """Return the maximum steps of an evaluation episode; those of the longest, where a protocol has several."""
    limit, protocol = config.env.step_limits.evaluate, config.evaluation.conditions
    if protocol is None:
        return _steps(limit)
    if isinstance(limit, int):
        return max(protocol.max_steps.values())
    return _steps({name: protocol.steps(name) for name in limit})


def _panel_size(config: RunConfig) -> int:
    """Return the number of tasks in the panel; 0 if that is the whole split and its data are not installed."""
    evaluation, limit = config.evaluation, config.env.step_limits.evaluate
    if evaluation.panel is not None:
        return len(find_panel(evaluation.panel).tasks)
    if evaluation.tasks is not None:
        return evaluation.tasks * (1 if isinstance(limit, int) else len(limit))
    try:
        return len(config.env.build().tasks(evaluation.split))
    except LeapError:
        return 0
