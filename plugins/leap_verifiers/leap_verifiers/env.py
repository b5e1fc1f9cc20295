"""The environment takes the user's part: it answers each action with the next observation."""

import verifiers.v1 as vf

from leap_exp.core.types import Observation, View
from leap_exp.interfaces.sessions import AsyncSession
from leap_exp.tokens.parser import read_decision
from leap_verifiers.taskset import INADMISSIBLE, SCORE, STEPS, LeapTask, LeapTaskData, renderer


class LeapEnvConfig(vf.EnvConfig):
    """The player is the model under evaluation or training. Its harness needs no sandbox."""

    player: vf.AgentConfig = vf.AgentConfig(runtime=vf.SubprocessConfig())


class LeapEnv(vf.Env[LeapEnvConfig]):
    """Plays one episode per task. A crash of the environment is an error of the episode, never a score."""

    async def run(self, task: LeapTask, agents: vf.Agents) -> None:
        """Play an episode until it is over, or until the model's run is stopped by a limit."""
        data = task.data
        async with data.shared.session(max_steps=data.max_steps) as session:
            observation = await session.start(data.leap_task, seed=data.seed)
            async with agents.player.interaction(task) as interaction:
                trace = interaction.trace
                trace.info |= _result(session)
                segment = await interaction.turn(_shown(data, observation))
                while not segment.terminated:
                    is_cut_off = trace.calls[-1].finish_reason == "length"
                    decision = read_decision(segment.last_reply, reasons=data.reasons, cut_off=is_cut_off)
                    transition = await session.step(decision.action)
                    trace.info |= _result(session)
                    if transition.done:
                        break
                    segment = await interaction.turn(_shown(data, transition.observation))


def _shown(data: LeapTaskData, observation: Observation) -> str:
    """Return ``observation`` as a message to the model."""
    view = View(task=data.leap_task, history=(), observation=observation)
    return renderer(data.shared.environment, reasons=data.reasons).messages(view, first_kept=1)[-1]["content"]


def _result(session: AsyncSession) -> dict[str, float]:
    return {
        SCORE: session.score,
        STEPS: session.steps,
        INADMISSIBLE: session.inadmissible_steps,
    }
