"""The LoRA adapters of a vLLM server, which it takes in and lets go of while it runs."""

from pathlib import Path

from leap_exp.core.errors import ProviderError
from leap_exp.llm.retry import TransientError
from leap_exp.llm.server import RejectedError, Server


class AdapterServer(Server):
    """A vLLM server; an adapter is asked by its name, like a model."""

    def models(self) -> list[str] | None:
        """The names of the models and adapters that it has; None where no server answers.

        Raises:
            ProviderError: something answers that is no such server, or refuses the key.
        """
        try:
            return self._sent(lambda: [model.id for model in self._client.models.list()])
        except TransientError:
            return None
        except RejectedError as error:
            raise ProviderError(f"{error} Is it a vLLM server?") from error

    def load(self, name: str, folder: Path) -> None:
        """Take in the adapter in ``folder``.

        Raises:
            ProviderError: it does not do so.
        """
        try:
            self._post("/load_lora_adapter", {"lora_name": name, "lora_path": str(folder.resolve())})
        except (TransientError, RejectedError, ProviderError) as error:
            raise ProviderError(
                f"The adapter in {folder} could not be loaded: {error} The server must be vLLM, see that folder, and "
                "have been started with --enable-lora, --max-lora-rank (student.lora.r or more) and "
                "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True in its environment."
            ) from error

    def unload(self, name: str) -> bool:
        """Let go of an adapter; false where the server did not do so."""
        try:
            self._post("/unload_lora_adapter", {"lora_name": name})
        except (TransientError, RejectedError, ProviderError):
            return False
        return True

    def _post(self, path: str, body: dict[str, str]) -> str:
        return self._sent(lambda: self._client.post(path, body=body, cast_to=str))
