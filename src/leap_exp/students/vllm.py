"""A student that is trained here and acts through a vLLM server, which is given the adapter of each round."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Self

from peft import PeftModel
from transformers import PreTrainedTokenizerBase

from leap_exp.core.types import Correction, Decision, DecisionFailure, View
from leap_exp.llm import ChatClient, CompletionRequest
from leap_exp.prompts.codec import PromptCodec
from leap_exp.students.api import decided, decision_seed
from leap_exp.students.hf import HfStudent
from leap_exp.students.vllm_server import VllmServer
from leap_exp.students.weights import weights_digest


class VllmStudent:
    """An HfStudent in all but acting: the server continues the very tokens that it is trained on."""

    def __init__(
        self, trained: HfStudent, client: ChatClient, server: VllmServer, *, adapter: Path | None = None
    ) -> None:
        """``adapter`` is the folder that ``trained`` has its adapter from."""
        self.id = trained.id
        self._trained = trained
        self._adapter = adapter
        self._client = client
        self._server = server

    @property
    def in_process(self) -> HfStudent:
        """The same student computed here, which is what its training begins with."""
        return self._trained

    @property
    def codec(self) -> PromptCodec:
        """Its prompts, as token ids."""
        return self._trained.codec

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The base model's tokenizer."""
        return self._trained.tokenizer

    @property
    def pad_id(self) -> int:
        """A token for the places that no other token looks at."""
        return self._trained.pad_id

    def trainable_model(self, *, row_tokens: float) -> PeftModel:
        """Fresh base weights with the adapter apart and ready to train, in this process."""
        return self._trained.trainable_model(row_tokens=row_tokens)

    def logprobs(self, corrections: Sequence[Correction]) -> list[float]:
        """Log-probability (nats) of the teacher's response at each step, computed in this process."""
        return self._trained.logprobs(corrections)

    def load(self, folder: Path, *, policy_id: str) -> Self:
        """This student with the adapter in ``folder``, which the server gets when it is to act."""
        trained = self._trained.load(folder, policy_id=policy_id)
        return type(self)(trained, self._client, self._server, adapter=folder)

    def act(self, views: Sequence[View], *, seed: int) -> list[Decision | DecisionFailure]:
        """One decision a view; a view for which the server gave no answer has a failure."""
        self._server.provide(self._name, self._adapter)
        requests = [
            CompletionRequest(
                prompt_ids=tuple(self.codec.prompt_ids(view)),
                model=self._name,
                stop_ids=(self.codec.stop_id,),
                seed=decision_seed(view, seed),
                max_tokens=self._trained.settings.max_new_tokens,
            )
            for view in views
        ]
        reasons = self._trained.settings.reasons
        return [decided(outcome, reasons=reasons) for outcome in self._client.complete(requests)]

    def account(self) -> Mapping[str, float]:
        """What was asked of the server since this was last asked."""
        return self._client.account.close()

    @cached_property
    def _name(self) -> str:
        """What the server calls it: an adapter by its weights, so that no cached answer is another adapter's."""
        if self._adapter is None:
            return self._client.endpoint.model
        return f"leap-{weights_digest(str(self._adapter))[:16]}"
