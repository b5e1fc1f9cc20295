"""A vLLM server, which loads LoRA adapters while it runs and can free the accelerator's memory for a while."""

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from leap_exp.core.errors import ProviderError
from leap_exp.llm.replies import model_lengths, parse_body
from leap_exp.llm.server import RejectedError, Server, TransientError
from leap_exp.runs import cache_folder, storing, write_whole

_CONTROL_SECONDS = 60.0
"""Time limit of requests that need no computation, and of sleeping and waking."""
_LIST_SECONDS = 10.0
_ALREADY_LOADED = "already been loaded"
_RANK_TOO_HIGH = "max_lora_rank"
_PROBE = "leap-exp-probe"
"""The name of an adapter that no server has."""
_HOW_TO_SERVE = (
    "The server must be vLLM, have access to the run's folder, and run with --enable-lora, --max-lora-rank (at least "
    "student.lora.r) and the environment variable VLLM_ALLOW_RUNTIME_LORA_UPDATING=True."
)
_FAILURES = (TransientError, RejectedError, ProviderError)


class AdapterServer(Server):
    """The server of an endpoint, which is vLLM. An adapter is addressed like a model."""

    def models(self) -> Mapping[str, int | None] | None:
        """Return the names of the server's models and adapters with their maximum numbers of tokens, where known.

        Returns:
            None if no server answers.

        Raises:
            ProviderError: Something else answers, or the server rejects the key.
        """
        try:
            text = self._exchange(
                lambda: self._client.with_options(timeout=_LIST_SECONDS).models.with_raw_response.list().text
            )
        except TransientError:
            return None
        except RejectedError as error:
            raise ProviderError(f"{error} Is it a vLLM server?") from error
        try:
            return self._read(text, lambda: model_lengths(text))
        except TransientError as error:
            raise ProviderError(f"{error} Is it a vLLM server? Check {self._place}.base_url.") from error

    def version(self) -> str | None:
        """Return the version of vLLM, or None if no server answers or it does not say."""
        address = f"{self._root}/version"
        try:
            text = self._exchange(lambda: self._client.with_options(timeout=_LIST_SECONDS).get(address, cast_to=str))
            version = parse_body(text)["version"]
        except (*_FAILURES, ValueError, LookupError, TypeError):
            return None
        return self.redact(version) if isinstance(version, str) else None

    def check_adapters(self, *, rank: int) -> None:
        """Check that the server can load adapters of ``rank``, with one that has no weights.

        Raises:
            ProviderError: It cannot.
        """
        config = {"peft_type": "LORA", "r": rank, "lora_alpha": 1, "target_modules": ["q_proj"], "bias": "none"}
        cache = cache_folder()
        with storing(cache):
            cache.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=cache, prefix=f"{_PROBE}-") as folder:
            write_whole(Path(folder, "adapter_config.json"), [json.dumps(config)])
            try:
                self._load(_PROBE, Path(folder))
            except _FAILURES as error:
                if can_load_adapters(str(error)):
                    return
                raise ProviderError(
                    f"{self._endpoint.name} cannot load adapters of rank {rank}: {error} {_HOW_TO_SERVE}"
                ) from error
            self.unload(_PROBE)

    def load(self, name: str, folder: Path) -> None:
        """Load the adapter in ``folder`` under ``name``, unless the server has it already.

        Raises:
            ProviderError: The server does not load it.
        """
        try:
            self._load(name, folder)
        except _FAILURES as error:
            # Some servers list only their base model. A name is made from the weights, so it is the same adapter.
            if _ALREADY_LOADED in str(error):
                return
            raise ProviderError(f"The adapter in {folder} could not be loaded: {error} {_HOW_TO_SERVE}") from error

    def unload(self, name: str) -> bool:
        """Unload an adapter; returns whether the server did."""
        return self._is_done("/unload_lora_adapter", {"lora_name": name})

    def sleep(self) -> bool:
        """Move the weights to the main memory and drop what was computed; returns whether the server did."""
        return self._is_done(f"{self._root}/sleep?level=1", {})

    def wake_up(self) -> bool:
        """Undo ``sleep``; returns whether the server did."""
        return self._is_done(f"{self._root}/wake_up", {})

    @property
    def _root(self) -> str:
        """The address of what is not below /v1."""
        return self._endpoint.url.removesuffix("/v1")

    def _load(self, name: str, folder: Path) -> None:
        body = {"lora_name": name, "lora_path": str(folder.resolve())}
        self._exchange(lambda: self._client.post("/load_lora_adapter", body=body, cast_to=str))

    def _is_done(self, path: str, body: Mapping[str, str]) -> bool:
        try:
            self._exchange(
                lambda: self._client.with_options(timeout=_CONTROL_SECONDS).post(path, body=body, cast_to=str)
            )
        except _FAILURES:
            return False
        return True


def can_load_adapters(error: str) -> bool:
    """Return whether ``error``, vLLM's answer to loading an adapter without weights, is about the adapter's files.

    Without VLLM_ALLOW_RUNTIME_LORA_UPDATING the answer is that of an unknown address; without --enable-lora it says
    that LoRA is not enabled; it names max_lora_rank if the rank is too high. Other answers pass, because a new version
    may word them differently.
    """
    if _RANK_TOO_HIGH in error:
        return False
    if _PROBE in error:
        return True
    return not any(sign in error for sign in ("answered 404", "answered 405", "enable"))
