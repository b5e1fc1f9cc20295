"""The contract of engines: what computes the tokens and probabilities of a student."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

from leap_exp.core.errors import ConfigError
from leap_exp.core.protocols import Student
from leap_exp.core.types import DecisionFailure
from leap_exp.tokens.codec import PromptCodec
from leap_exp.tokens.scoring import Score
from leap_exp.tokens.spans import Row
from leap_exp.tokens.tree import TokenTree

if TYPE_CHECKING:
    from peft import PeftModel
    from torch.nn import Module

Adapters = tuple[tuple[Path, float], ...]
"""Adapter folders with the weight at which each is merged; empty for the base weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How a token is drawn.

    The logits are divided by ``temperature``; then all but the ``top_k`` likeliest tokens are left out, and then all
    but the fewest likeliest ones that have together at least the probability ``top_p``. An engine that is restricted
    to some tokens leaves out the others first.

    Attributes:
        temperature: 0 takes the likeliest token, whatever the other settings are.
        top_p: In (0, 1]; 1 keeps all.
        top_k: None keeps all.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int | None = None


GREEDY = Sampling()


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """Tokens to continue.

    Attributes:
        ids: Token ids.
        conversation: Name of the conversation. What a prompt shares with the previous one of its conversation need not
            be computed again.
        seed: Seed of the decision that this belongs to. A token that is drawn depends on it and on the number of tokens
            before it in the conversation, not on the other prompts.
    """

    ids: Sequence[int]
    conversation: str
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What was generated after a prompt, and whether it was cut off at the maximum number of tokens."""

    text: str
    is_cut_off: bool


class Engine(Protocol):
    """Generates and scores tokens with a base model and its adapters."""

    @abstractmethod
    def load_adapter(self, adapters: Adapters) -> None:
        """Use the base model with ``adapters`` merged in from now on; does nothing if they are loaded already."""

    @abstractmethod
    def generate(
        self, prompts: Sequence[Prompt], *, stop_ids: frozenset[int], max_new_tokens: int, sampling: Sampling = GREEDY
    ) -> Sequence[Generation | DecisionFailure]:
        """Continue each prompt up to a stop token (left out) or ``max_new_tokens``."""

    def choose(
        self, prompts: Sequence[Prompt], trees: Sequence[TokenTree], *, sampling: Sampling = GREEDY
    ) -> Sequence[tuple[int, ...] | DecisionFailure]:
        """Continue each prompt along its tree, and return the token ids of the chosen sequences.

        At each fork the token is drawn among the tree's, as ``sampling`` says.

        Raises:
            ConfigError: The engine cannot restrict what it generates.
        """
        raise ConfigError("This engine cannot choose among the admissible actions; set student.decoding=free.")

    def score(self, rows: Sequence[Row], *, conversations: Sequence[str] | None = None) -> Sequence[Score]:
        """Score the spans of ``rows``.

        With ``conversations``, one per row, what a row shares with its conversation is not computed again. Such rows
        must not branch before their first scored token.

        Raises:
            ConfigError: The engine cannot score.
        """
        raise ConfigError("This engine cannot score tokens; use the student's local engine.")

    def retain(self, conversations: Sequence[str]) -> None:
        """Forget all conversations but these, because the others are over."""
        return

    def usage(self) -> Mapping[str, float]:
        """Return what was used since the last call, as ``Policy.usage`` does."""
        return {}

    def sleep(self) -> None:
        """Free the memory of the weights, if they are in this process; they are loaded again when needed."""
        return


@runtime_checkable
class TrainableStudent(Student, Protocol):
    """A student with local weights that can be trained."""

    codec: PromptCodec

    @property
    def pad_id(self) -> int:
        """Token id for padding."""

    @property
    def one_pass(self) -> bool:
        """Whether the model scores all branches of a row in one pass; otherwise each is a sequence of its own."""

    def trainable_model(self) -> "PeftModel":
        """Return the base model with the student's adapter on top, ready to train; a new adapter if it has none."""

    def frozen_model(self) -> "Module":
        """Return a copy of the model with the student's adapters merged in, to compare another one with."""

    def with_model(self, model: str) -> Self:
        """Return a student with the same prompts that computes with the weights of ``model``, without an adapter.

        Raises:
            ConfigError: Its vocabulary is another one, or its branches cannot be scored in the same way.
            ProviderError: It cannot be loaded.
        """
