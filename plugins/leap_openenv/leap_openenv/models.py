"""What is sent between client and server."""

from openenv.core.env_server.types import Action, Observation, State
from pydantic import Field


class LeapAction(Action):
    """One action, as a text."""

    text: str = Field(description="A command (ALFWorld), search[words] or click[name] (WebShop), or a shell command")


class LeapObservation(Observation):
    """What the agent sees, with ``reward`` (the sum of an episode's rewards is its score) and ``done``."""

    text: str = Field(description="The environment's answer")
    admissible_actions: list[str] | None = Field(
        None, description="The possible actions; null if all are. <query> is a place for words of the agent's choice"
    )
    score: float = Field(0.0, description="The episode's score so far, in [0, 1]", ge=0, le=1)
    task_id: str = Field("", description="Id of the task")
    instruction: str = Field("", description="What the task asks for")


class LeapState(State):
    """The state of a session."""

    environment: str = Field("", description="Name of the environment")
    split: str = Field("", description="Split of the task")
    task_id: str = Field("", description="Id of the task; empty before the first reset")
    score: float = Field(0.0, description="The episode's score so far, in [0, 1]", ge=0, le=1)
