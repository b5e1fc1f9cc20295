"""The client: one session of the server for each."""

from typing import Any

from openenv.core import EnvClient
from openenv.core.client_types import StepResult

from leap_openenv.models import LeapAction, LeapObservation, LeapState


class LeapEnv(EnvClient[LeapAction, LeapObservation, LeapState]):
    """Plays tasks on a server.

        async with LeapEnv(base_url="http://localhost:8000") as env:
            result = await env.reset(environment="alfworld", split="train", index=0)
            result = await env.step(LeapAction(text="look"))

    ``reset`` takes the environment, the split, the task's index in it, and a seed. ``.sync()`` gives the same without
    ``await``.
    """

    def _step_payload(self, action: LeapAction) -> dict[str, Any]:
        return {"text": action.text}

    def _parse_result(self, payload: dict[str, Any]) -> StepResult[LeapObservation]:
        reward, done = payload["reward"], payload["done"]
        observation = LeapObservation(**payload["observation"], reward=reward, done=done)
        return StepResult(observation=observation, reward=reward, done=done, metadata=payload.get("metadata"))

    def _parse_state(self, payload: dict[str, Any]) -> LeapState:
        return LeapState(**payload)
