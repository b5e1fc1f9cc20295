"""A chat loop in the evaluating process: one request per turn, and no program to install or start."""

import httpx
import verifiers.v1 as vf
from verifiers.v1.dialects.chat import message_to_wire


class LeapHarnessConfig(vf.HarnessConfig):
    """Settings that every harness has."""


class LeapHarness(vf.Harness[LeapHarnessConfig]):
    """Asks the model for its next message.

    The built-in harness ``null`` does the same with a script that it installs and starts anew in every turn.
    """

    APPENDS_SYSTEM_PROMPT = True
    SUPPORTS_RESUME = True
    EXECUTES_CODE = False
    NEEDS_CONTAINER = False

    async def launch(
        self,
        ctx: vf.ModelContext,
        trace: vf.Trace,
        runtime: vf.Runtime,
        endpoint: str,
        secret: str,
        mcp_urls: dict[str, str],
        data: vf.TaskData,
    ) -> vf.ProgramResult:
        """Send the conversation to ``endpoint``, which records the model's answer."""
        system, prompt = self.resolve_prompt(data)
        messages = [{"role": "system", "content": system}] if system else []
        messages += (
            [{"role": "user", "content": prompt}]
            if isinstance(prompt, str)
            else [message_to_wire(message) for message in prompt or ()]
        )
        async with httpx.AsyncClient(timeout=None, trust_env=False) as client:  # noqa: S113 - verifiers has limits
            response = await client.post(
                f"{endpoint}/chat/completions",
                headers={"Authorization": f"Bearer {secret}"},
                json={"model": ctx.model, "messages": messages},
            )
        return vf.ProgramResult(exit_code=int(response.is_error), stdout="", stderr=response.text)
