"""Export: expert and corrected trajectories as rows that other libraries read."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from leap_exp.analysis.labels import step_labels
from leap_exp.core.environments import Environment
from leap_exp.core.privilege import Disclosure
from leap_exp.core.protocols import Policy, ProgressCallback, Teacher
from leap_exp.core.seeding import derive_seed
from leap_exp.core.types import Correction, Decision, Step, Trajectory, View, views
from leap_exp.stages.correct import brief
from leap_exp.stages.demonstrations import imitate
from leap_exp.stages.rollout import rollout, sample_tasks
from leap_exp.tokens.markup import MESSAGES_MARKUP, Messages
from leap_exp.tokens.renderer import PromptConfig, Renderer

Row = Mapping[str, object]

EXPERT, CORRECTED = "expert", "corrected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """Corrections to export.

    Attributes:
        expert: The expert's successful trajectories, whose decisions stay as they are.
        corrected: Trajectories of a weaker policy, with the teacher's decision at each step.
    """

    expert: Sequence[Correction]
    corrected: Sequence[Correction]


def collect(
    environment: Environment,
    *,
    expert: Policy,
    weak: Policy,
    teacher: Teacher,
    disclosure: Disclosure,
    split: str,
    tasks: int,
    max_steps: int,
    seed: int,
    on_progress: ProgressCallback,
) -> Collection:
    """Let ``expert`` and ``weak`` act on the same ``tasks``, drawn from ``split``; ``teacher`` corrects the latter."""
    drawn = sample_tasks(environment.tasks(split), tasks, seed=derive_seed(seed, "tasks"))

    def act(policy: Policy) -> Sequence[Trajectory]:
        return rollout(environment, policy, drawn, seed=seed, max_steps=max_steps, batch=32, on_progress=on_progress)

    demonstrations = imitate(act(expert))
    attempts = [each for each in act(weak) if each.score is not None and each.steps]
    briefings = [brief(environment, each.task, disclosure) for each in attempts]
    corrections = teacher.correct(attempts, briefings)
    corrected = [each for each in corrections if isinstance(each, Correction)]
    return Collection(expert=demonstrations, corrected=corrected)


def trajectory_rows(collection: Collection, environment: Environment) -> Iterator[Row]:
    """Yield a row for each trajectory, with its steps, the facts and the exact labels of the steps."""
    for kind, corrections in ((EXPERT, collection.expert), (CORRECTED, collection.corrected)):
        for correction in corrections:
            yield _trajectory_row(kind, correction, environment)


def _trajectory_row(kind: str, correction: Correction, environment: Environment) -> Row:
    trajectory = correction.trajectory
    facts = environment.privileged(trajectory.task)
    labels = step_labels(environment, trajectory)
    return {
        "kind": kind,
        "task": trajectory.task.id,
        "split": trajectory.task.split,
        "task_type": trajectory.task.kind,
        "instruction": trajectory.task.instruction,
        "policy": trajectory.policy_id,
        "teacher": correction.teacher_id,
        "disclosure": str(correction.briefing.disclosure),
        "seed": str(trajectory.seed),
        "score": trajectory.score,
        "stop": str(trajectory.stop),
        "facts": facts.text,
        "facts_json": json.dumps(facts.data, default=str, sort_keys=True),
        "steps": [
            {
                "observation": step.observation.text,
                "admissible_actions": list(step.observation.admissible_actions or ()),
                "reason": step.decision.reason,
                "action": step.action,
                "is_admissible": step.is_valid,
                "teacher_reason": decision.reason,
                "teacher_action": decision.action,
                "is_changed": changed,
                "steps_left": label.steps_left,
                "wasted_steps": label.wasted_steps,
                "is_best": label.is_best,
            }
            for step, decision, changed, label in zip(
                trajectory.steps, correction.decisions, correction.changed, labels, strict=True
            )
        ],
    }


def chat_rows(collection: Collection, environment: Environment, config: PromptConfig) -> Mapping[str, list[Row]]:
    """Return the rows of TRL's conversational formats by their names.

    ``messages``: an expert trajectory as a conversation. ``prompt_completion``: a step of a corrected trajectory with
    the teacher's answer, behind the weaker policy's own history. ``preference``: the same where the teacher changed the
    action, with the answer that it rejects.
    """
    renderer = Renderer(environment.prompts, MESSAGES_MARKUP, config)
    rows: dict[str, list[Row]] = {"messages": [], "prompt_completion": [], "preference": []}
    for correction in collection.expert:
        *_, last = views(_with_decisions(correction))
        rows["messages"].append({"messages": [*_prompt(renderer, last), _answer(renderer, correction.decisions[-1])]})
    for correction in collection.corrected:
        for view, step, decision, changed in zip(
            views(correction.trajectory),
            correction.trajectory.steps,
            correction.decisions,
            correction.changed,
            strict=True,
        ):
            prompt, answer = _prompt(renderer, view), [_answer(renderer, decision)]
            rows["prompt_completion"].append({"prompt": prompt, "completion": answer})
            if changed:
                rejected = [_answer(renderer, step.decision)]
                rows["preference"].append({"prompt": prompt, "chosen": answer, "rejected": rejected})
    return rows


def _with_decisions(correction: Correction) -> Trajectory:
    steps: list[Step] = [
        replace(step, decision=decision)
        for step, decision in zip(correction.trajectory.steps, correction.decisions, strict=True)
    ]
    return replace(correction.trajectory, steps=tuple(steps))


def _prompt(renderer: Renderer, view: View) -> Messages:
    return renderer.messages(view, first_kept=1)


def _answer(renderer: Renderer, decision: Decision) -> dict[str, str]:
    return {"role": "assistant", "content": "".join(renderer.response(decision)).strip()}
