"""The engine in this process: one base model, many conversations."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from leap_exp.students.adapters import Modules
from leap_exp.students.engines.attention import ATTENTION, Continuation, Conversations
from leap_exp.students.engines.exactness import Method, find_method
from leap_exp.students.engines.own_cache import OwnCache
from leap_exp.students.engines.pool import PooledConversations
from leap_exp.students.engines.sampling import is_greedy, pick, pick_children, uniforms
from leap_exp.students.quantized import adapted
from leap_exp.students.weights import load_model
from leap_exp.tokens.engine import GREEDY, Adapters, Engine, Generation, Prompt, Sampling
from leap_exp.tokens.scoring import Score, collate, options_tensor, score_batch, split_by_span, target_logprobs
from leap_exp.tokens.spans import Row
from leap_exp.tokens.tree import ROOT, TokenTree


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What loading a base model has shown.

    Attributes:
        method: How to compute with it.
        modules: What an adapter must fit.
        bytes: What its weights take.
    """

    method: Method
    modules: Modules
    bytes: int


_FACTS: dict[tuple[object, ...], ModelFacts] = {}
"""The models that this process has loaded, by how they were loaded."""


class InProcessEngine(Engine):
    """Computes with the weights of one student at a time; loading another student's adapter replaces them.

    Args:
        source: What ``load_model`` loads.
        tokenizer: Decodes what is generated.
        dtype: Type of the weights.
        device: Where they are.
        pad_id: Token id for padding.
        context_length: Maximum number of tokens of a conversation.
        quantization: nf4, int8, or None; see ``load_model``.
        pooled: Whether all conversations share one pool of keys and values; None for yes on an accelerator.
    """

    def __init__(
        self,
        source: str,
        tokenizer: PreTrainedTokenizerBase,
        *,
        dtype: torch.dtype,
        device: str,
        pad_id: int,
        context_length: int,
        quantization: str | None = None,
        pooled: bool | None = None,
    ) -> None:
        self._source = source
        self._tokenizer = tokenizer
        self._dtype = dtype
        self._device = device
        self._pad_id = pad_id
        self._context_length = context_length
        self._quantization = quantization
        self._adapters: Adapters = ()
        self._loaded: PreTrainedModel | None = None
        self._pooled = torch.device(device).type != "cpu" if pooled is None else pooled
        self._conversations: Conversations | None = None

    def with_source(self, source: str) -> "InProcessEngine":
        """Return an engine with other weights."""
        return InProcessEngine(
            source,
            self._tokenizer,
            dtype=self._dtype,
            device=self._device,
            pad_id=self._pad_id,
            context_length=self._context_length,
            quantization=self._quantization,
            pooled=self._pooled,
        )

    def __getstate__(self) -> dict[str, object]:
        """Return what another process needs: no weights and conversations, but what is known of the model."""
        return {**self.__dict__, "_loaded": None, "_conversations": None, "known": self.facts}

    def __setstate__(self, state: dict[str, object]) -> None:
        """Restore the engine, with what is known of the model."""
        facts = state.pop("known")
        assert isinstance(facts, ModelFacts)  # noqa: S101 - __getstate__ put it there
        self.__dict__.update(state)
        _FACTS[self._key] = facts

    def load_adapter(self, adapters: Adapters) -> None:
        """Use the base model with ``adapters`` merged in; the weights are read when they are first needed."""
        if adapters != self._adapters:
            self.sleep()
            self._adapters = adapters

    def sleep(self) -> None:
        """Free the weights and the conversations."""
        self._loaded = self._conversations = None

    @property
    def model(self) -> PreTrainedModel:
        """The base model with the loaded adapters merged in."""
        if self._loaded is None:
            model = load_model(self._source, dtype=self._dtype, device=self._device, quantization=self._quantization)
            if self._key not in _FACTS:
                self._find_facts(model)
            model = adapted(model, self._adapters) if self._quantization else _merged(model, self._adapters)
            method = self.facts.method
            if method.packed:
                model.set_attn_implementation(ATTENTION)
                self._conversations = method.conversations(model)
            self._loaded = model
        return self._loaded

    @property
    def facts(self) -> ModelFacts:
        """What is known of the base model, from when it was first loaded in this process.

        Raises:
            ConfigError: The model cannot be computed exactly.
            ProviderError: It cannot be loaded.
        """
        if self._key not in _FACTS:
            try:
                self.model  # noqa: B018 - the facts are found when it is loaded
            except torch.OutOfMemoryError:
                # It acts through a server and is trained on several devices (launch.sharding).
                self._find_facts(load_model(self._source, dtype=self._dtype, device="cpu"))
        return _FACTS[self._key]

    def _find_facts(self, model: PreTrainedModel) -> None:
        method = find_method(model, source=self._source, context_length=self._context_length, pooled=self._pooled)
        _FACTS[self._key] = ModelFacts(method=method, modules=Modules.of(model), bytes=model.get_memory_footprint())

    @property
    def _key(self) -> tuple[object, ...]:
        return self._source, self._dtype, self._device, self._context_length, self._pooled, self._quantization

    def generate(
        self, prompts: Sequence[Prompt], *, stop_ids: frozenset[int], max_new_tokens: int, sampling: Sampling = GREEDY
    ) -> list[Generation]:
        """Continue each prompt up to a stop token (left out) or ``max_new_tokens``."""
        return [
            Generation(text=str(self._tokenizer.decode(ids)), is_cut_off=len(ids) == max_new_tokens)
            for batch in self._batches(prompts)
            for ids in self._generate(batch, stop_ids=stop_ids, max_new_tokens=max_new_tokens, sampling=sampling)
        ]

    def _generate(
        self, prompts: Sequence[Prompt], *, stop_ids: frozenset[int], max_new_tokens: int, sampling: Sampling
    ) -> list[list[int]]:
        writers = self._writers(prompts)
        if isinstance(self._conversations, PooledConversations):
            first_B = pick(self._next_logits(writers), sampling, _uniforms(writers, sampling))
            return self._conversations.write(
                [writer.prompt.conversation for writer in writers],
                first_B,
                count=max_new_tokens,
                stop_ids=stop_ids,
                sampling=sampling,
                seeds=[writer.prompt.seed for writer in writers],
            )
        active = list(writers)
        for _ in range(max_new_tokens):
            best = pick(self._next_logits(active), sampling, _uniforms(active, sampling)).tolist()
            for writer, token in zip(active, best, strict=True):
                if token in stop_ids:
                    writer.unread.clear()
                else:
                    writer.write(token)
            active = [writer for writer in active if writer.unread]
            if not active:
                break
        return [writer.written for writer in writers]

    def choose(
        self, prompts: Sequence[Prompt], trees: Sequence[TokenTree], *, sampling: Sampling = GREEDY
    ) -> list[tuple[int, ...]]:
        """Continue each prompt along its tree, drawing a token at every fork.

        Only forks need a pass of the model. A token without an alternative is read together with the next fork, or with
        the next prompt of its conversation.
        """
        remaining = iter(trees)
        return [
            ids
            for batch in self._batches(prompts)
            for ids in self._choose(batch, [next(remaining) for _ in batch], sampling)
        ]

    def _choose(
        self, prompts: Sequence[Prompt], trees: Sequence[TokenTree], sampling: Sampling
    ) -> list[tuple[int, ...]]:
        writers = self._writers(prompts)
        places = [ROOT] * len(writers)
        while True:
            for index, writer in enumerate(writers):
                places[index] = _follow(trees[index], places[index], writer)
            forks = [index for index, place in enumerate(places) if trees[index].children(place)]
            if not forks:
                return [tuple(writer.written) for writer in writers]
            at_forks = [writers[index] for index in forks]
            options = [trees[index].children(places[index]) for index in forks]
            drawn = _uniforms(at_forks, sampling)
            tokens = pick_children(self._next_logits(at_forks), options, sampling, drawn)
            for index, children, token in zip(forks, options, tokens, strict=True):
                writers[index].write(token)
                places[index] = children[token]

    def score(self, rows: Sequence[Row], *, conversations: Sequence[str] | None = None) -> list[Score]:
        """Score ``rows``: each in one pass or, with ``conversations``, all together behind what their caches hold.

        A model that cannot be computed in these ways reads each branch of a row as a sequence of its own.
        """
        if conversations is not None and self.facts.method.packed and self.facts.method.plain_head:
            return self._score_after(rows, conversations)
        return [score for row in rows for score in self._score_alone(row)]

    def _score_alone(self, row: Row) -> list[Score]:
        model = self.model
        batch = collate([row], pad_id=self._pad_id, dtype=self._dtype, one_pass=self.facts.method.one_pass)
        on_device = {name: value.to(model.device) for name, value in batch.items()}  # type: ignore[attr-defined]
        with torch.inference_mode():
            logprobs_N = score_batch(model, on_device)  # type: ignore[arg-type]
        return split_by_span(logprobs_N, [row])

    def _score_after(self, rows: Sequence[Row], names: Sequence[str]) -> list[Score]:
        model, conversations = self.model, self._packed
        starts = [
            1 + min(place for span in row.spans for place in span.places) if _is_scored(row) else 0 for row in rows
        ]
        scored = [index for index, start in enumerate(starts) if start]
        unread = [
            conversations.keep_common_prefix(names[index], rows[index].tree.tokens[: starts[index]]) for index in scored
        ]
        hidden = {}
        if scored:
            after_BD = conversations.read([names[index] for index in scored], unread)
            hidden = {index: [after_D[None]] for index, after_D in zip(scored, after_BD, strict=True)}
        branching = [index for index in scored if len(rows[index].tree) > starts[index]]
        if branching:
            trees = [_continuation(rows[index].tree, starts[index]) for index in branching]
            ahead = conversations.read_ahead([names[index] for index in branching], trees)
            for index, ahead_TD in zip(branching, ahead, strict=True):
                hidden[index].append(ahead_TD)
        scores = []
        for index, row in enumerate(rows):
            logprobs_N = torch.zeros(0)
            if index in hidden:
                with torch.inference_mode():
                    logits_TV = model.get_output_embeddings()(torch.cat(hidden[index])).float().cpu()
                places_N = torch.tensor([place - starts[index] + 1 for span in row.spans for place in span.places])
                targets_N = torch.tensor([target for span in row.spans for target in span.targets])
                logprobs_N = target_logprobs(logits_TV[places_N], targets_N, options_tensor(row.spans))
            scores += split_by_span(logprobs_N, [row])
        return scores

    def retain(self, conversations: Sequence[str]) -> None:
        """Forget all conversations but these."""
        if self._conversations is not None:
            self._conversations.retain(conversations)

    @property
    def _packed(self) -> Conversations:
        """The conversations of the loaded model, which can be read together."""
        self.model  # noqa: B018 - they come with it
        assert self._conversations is not None  # noqa: S101 - asked for if the method is packed
        return self._conversations

    def _batches(self, prompts: Sequence[Prompt]) -> list[Sequence[Prompt]]:
        """Return ``prompts`` in the groups that are read together: all of them, or each alone."""
        return [prompts] if self.facts.method.packed else [[prompt] for prompt in prompts]

    def _writers(self, prompts: Sequence[Prompt]) -> list["_Writer"]:
        if self.facts.method.packed:
            keep = self._packed.keep_common_prefix
            return [_Writer(prompt, keep(prompt.conversation, prompt.ids)) for prompt in prompts]
        return [_Writer(prompt, list(prompt.ids), OwnCache()) for prompt in prompts]

    def _next_logits(self, writers: Sequence["_Writer"]) -> torch.Tensor:
        """Return the logits of the next token of each conversation, of shape (B, V)."""
        model = self.model
        unread = [writer.unread for writer in writers]
        for writer in writers:
            writer.unread = []
        alone = [writer.cache for writer in writers if writer.cache is not None]
        if alone:
            return torch.stack([cache.read(model, ids) for cache, ids in zip(alone, unread, strict=True)])
        hidden_BD = self._packed.read([writer.prompt.conversation for writer in writers], unread)
        with torch.inference_mode():
            logits_BV: torch.Tensor = model.get_output_embeddings()(hidden_BD)
        return logits_BV


@dataclass(slots=True)
class _Writer:
    """A prompt that is being continued; ``cache`` is set if it is read alone."""

    prompt: Prompt
    unread: list[int]
    cache: OwnCache | None = None
    written: list[int] = field(default_factory=list)

    def write(self, token: int) -> None:
        self.written.append(token)
        self.unread.append(token)


def _uniforms(writers: Sequence[_Writer], sampling: Sampling) -> torch.Tensor | None:
    """Return the numbers by which the next token of each conversation is drawn; None if none is drawn."""
    if is_greedy(sampling):
        return None
    positions = [len(writer.prompt.ids) + len(writer.written) for writer in writers]
    return torch.tensor(uniforms([writer.prompt.seed for writer in writers], positions), dtype=torch.float64)


def _follow(tree: TokenTree, place: int, writer: _Writer) -> int:
    """Write the tokens that have no alternative; return the place of the next fork or of the end."""
    children = tree.children(place)
    while len(children) == 1:
        ((token, place),) = children.items()
        writer.write(token)
        children = tree.children(place)
    return place


def _is_scored(row: Row) -> bool:
    return any(span.places for span in row.spans)


def _continuation(tree: TokenTree, start: int) -> Continuation:
    """Return the part of ``tree`` from the place ``start`` on."""
    return Continuation(
        tokens=tree.tokens[start:],
        depths=[depth - start for depth in tree.depths[start:]],
        ends=[end - start for end in tree.ends[start:]],
    )


def _merged(model: PreTrainedModel, adapters: Adapters) -> PreTrainedModel:
    """Return ``model`` with ``adapters`` added to its weights, each at its weight."""
    for folder, weight in adapters:
        with_adapter = PeftModel.from_pretrained(model, str(folder))
        for module in with_adapter.modules():
            if isinstance(module, LoraLayer):
                module.scale_layer(weight)
        model = with_adapter.merge_and_unload()
    return model
