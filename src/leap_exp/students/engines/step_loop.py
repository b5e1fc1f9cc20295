"""Writing token after token in all conversations of a pool, without waiting for each."""

import logging
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Protocol

import torch
from transformers import PreTrainedModel

from leap_exp.students.engines.sampling import pick
from leap_exp.tokens.engine import Sampling

logger = logging.getLogger(__name__)


class Slots(Protocol):
    """What reads one token in each of the first slots of a pool."""

    model: PreTrainedModel

    def step_hidden(self, tokens_S: torch.Tensor, lengths_S: torch.Tensor, longest: int) -> torch.Tensor:
        """Read one token in every slot, each behind its length; return the hidden states (S, D)."""


class GraphMemory:
    """The memory that recorded steps compute in. They share it, as only one is replayed at a time."""

    @cached_property
    def handle(self) -> Any:  # noqa: ANN401 - of a type of PyTorch's own
        """What ``torch.cuda.graph`` takes as its pool."""
        return torch.cuda.graph_pool_handle()


class StepLoop:
    """Writes token after token in all slots; on a GPU the kernels of a step are recorded once and then replayed.

    Args:
        pool: The slots.
        slots: Number of slots.
        longest: Number of tokens of each slot that attention covers.
        sampling: How tokens are drawn.
        memory: What recorded steps compute in.
    """

    def __init__(self, pool: Slots, slots: int, longest: int, sampling: Sampling, memory: GraphMemory) -> None:
        device = pool.model.device
        self._pool = pool
        self._longest = longest
        self._sampling = sampling
        self._memory = memory
        # What a recorded step reads and writes stays at its address.
        self._tokens_S = torch.zeros(slots, dtype=torch.long, device=device)
        self._lengths_S = torch.zeros(slots, dtype=torch.long, device=device)
        self._growth_S = torch.zeros(slots, dtype=torch.long, device=device)
        self._uniforms_S = torch.zeros(slots, dtype=torch.float64, device=device)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._can_record = device.type == "cuda"

    def start(self, lengths: Sequence[int], slots_B: torch.Tensor, first_B: torch.Tensor) -> None:
        """Begin in the slots ``slots_B``, which go on with the tokens ``first_B`` behind their lengths."""
        if self._can_record and self._graph is None:
            self._set(lengths, slots_B, first_B)
            self._record()
        self._set(lengths, slots_B, first_B)

    def step(self, slots_B: torch.Tensor, uniforms: Sequence[float]) -> torch.Tensor:
        """Read the last token of the slots and return their next ones, of shape (B,).

        There is one uniform number for each, unless the likeliest token is taken.
        """
        if uniforms:
            self._uniforms_S[slots_B] = torch.tensor(uniforms, dtype=torch.float64).to(slots_B.device)
        if self._graph is None:
            self._run()
        else:
            self._graph.replay()
        return self._tokens_S[slots_B]

    def _set(self, lengths: Sequence[int], slots_B: torch.Tensor, first_B: torch.Tensor) -> None:
        self._lengths_S.copy_(torch.tensor(lengths))
        self._tokens_S.zero_()
        self._tokens_S[slots_B] = first_B
        self._growth_S.zero_()
        self._growth_S[slots_B] = 1

    def _run(self) -> None:
        with torch.inference_mode():
            hidden_SD = self._pool.step_hidden(self._tokens_S, self._lengths_S, self._longest)
            logits_SV = self._pool.model.get_output_embeddings()(hidden_SD)
            self._tokens_S.copy_(pick(logits_SV, self._sampling, self._uniforms_S))
            self._lengths_S.add_(self._growth_S)

    def _record(self) -> None:
        """Record a step, after two that are not recorded, as CUDA graphs need it.

        These steps write behind the ends of the conversations, where nothing is yet.
        """
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self._run()
            self._run()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, pool=self._memory.handle):
                self._run()
        except RuntimeError as error:
            # In a mixture of experts, for example, the kernels depend on the tokens.
            logger.warning("The steps of this model cannot be recorded, which makes writing slower: %s", error)
            self._can_record = False
        else:
            self._graph = graph
