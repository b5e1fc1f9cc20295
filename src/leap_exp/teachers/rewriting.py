"""From a model's answer to the decisions of a correction."""

from collections.abc import Mapping, Sequence

from leap_exp.core.errors import ParseError
from leap_exp.core.types import QUERY_SLOT, Decision, Observation, Step
from leap_exp.prompts.json_answers import read_steps, text_field

_DECISION: Mapping[str, object] = {"reason": {"type": "string"}, "action": {"type": "string"}}


def object_schema(properties: Mapping[str, object]) -> Mapping[str, object]:
    """The JSON schema of an object with exactly ``properties``."""
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


STEP_SCHEMA = object_schema(_DECISION)
"""What is asked for where one step is corrected."""
STEPS_SCHEMA = object_schema(
    {
        "summary": {"type": "string"},
        "steps": {"type": "array", "items": object_schema({"step": {"type": "integer"}, **_DECISION})},
    }
)
"""What is asked for where a trajectory is corrected: the summary first, for a look at the whole before the steps."""


def read_decisions(text: str, steps: Sequence[Step]) -> list[Decision]:
    """A decision for each of ``steps``: the model's where it is admissible, else the student's.

    Raises:
        ParseError: the form is wrong, none of the actions is admissible, or at some step neither the model's nor the
            student's is.
    """
    items = read_steps(text, "steps", len(steps), "reason", "action")
    decisions = []
    wrong = []
    for number, (item, step) in enumerate(zip(items, steps, strict=True), start=1):
        reason, action = text_field(item, "reason"), text_field(item, "action")
        admitted = admissible_form(step.observation, action)
        if admitted is None:
            wrong.append(f"{action!r} in step {number}")
            decisions.append(kept(step))
        else:
            decisions.append(Decision(reason=" ".join(reason.split()), action=admitted))
    if len(wrong) == len(steps):
        raise ParseError(f"It has no admissible action: {wrong[0]} is none.")
    return decisions


def kept(step: Step) -> Decision:
    """The student's decision, where the model has none to put in its place.

    Raises:
        ParseError: it was not admissible and cannot stand.
    """
    if not step.is_valid:
        raise ParseError(f"There is no admissible action in place of {step.decision.action!r}, which was none either.")
    return step.decision


def admissible_form(observation: Observation, action: str) -> str | None:
    """``action`` as the environment writes it, None if it is not admissible; capitals and blanks do not matter.

    An action is one line, and words stand in place of ``QUERY_SLOT``, even where the environment would take others.
    """
    if "\n" in action or QUERY_SLOT in action:
        return None
    if observation.admits(action):
        return action
    alike = [listed for listed in observation.admissible_actions or () if _plain(listed) == _plain(action)]
    return alike[0] if len(alike) == 1 else None


def _plain(action: str) -> str:
    return " ".join(action.lower().split())
