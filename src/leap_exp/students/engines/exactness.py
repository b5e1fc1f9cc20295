"""The check of a model at load: which ways of computing give what the model's own forward pass gives.

Reading many conversations in one row, and all steps of a trajectory in one pass, is exact for models whose layers are
plain attention. Sliding windows, capped attention scores, attention sinks and recurrent layers need more. What a model
has is found by comparing, not by its name.
"""

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import torch
from transformers import PretrainedConfig, PreTrainedModel

from leap_exp.core.errors import ConfigError
from leap_exp.students.engines.attention import ATTENTION, Continuation, Conversations, SeparateConversations
from leap_exp.students.engines.own_cache import OwnCache
from leap_exp.students.engines.pool import PooledConversations
from leap_exp.students.engines.pooled_attention import may_have_varlen
from leap_exp.tokens.scoring import batch_logits, collate, sliding_window
from leap_exp.tokens.spans import Role, Row, Span
from leap_exp.tokens.tree import ROOT, TokenTree

logger = logging.getLogger(__name__)

_TURNS = (7, 1, 4, 4)
"""Lengths in tokens of the turns of the conversations that are compared."""
_LONGEST_WINDOW = 128
"""Windows up to this length are exceeded by the compared conversations."""
_WINDOW = re.compile(r"(?!.*(layers|pattern)).*window.*")
"""Names of settings that are the length of a window, and neither the layers that have one nor their pattern."""
_OTHER_LIMITS = ("attention_chunk_size", "index_topk")
"""Settings of models, besides those called a window, that say after how many tokens a layer stops seeing the past."""
_TOLERANCE = 1e-3
_HALF_PRECISION_TOLERANCE = 0.2
"""Root mean square difference at a token that counts as rounding, in standard deviations of the model's own numbers."""


@dataclass(frozen=True, slots=True)
class Method:
    """How to compute with a model so that the result is that of its own forward pass.

    Attributes:
        packed: Read many conversations at once, each with a cache of keys and values. Otherwise each is read alone, as
            the model's own ``generate`` reads it.
        plain_head: Logits are the output embedding of the last hidden state, without scaling or caps.
        one_pass: Score all branches of a row in one pass. Otherwise each branch is a sequence of its own.
        pooled: Keep the keys and values of packed conversations in one pool.
        varlen: Read the pool with PyTorch's kernel for rows of different lengths.
    """

    packed: bool
    plain_head: bool
    one_pass: bool
    pooled: bool = False
    varlen: bool = False

    def conversations(self, model: PreTrainedModel) -> Conversations:
        """Return packed conversations of ``model``, of which none is read yet."""
        return PooledConversations(model, varlen=self.varlen) if self.pooled else SeparateConversations(model)


def find_method(model: PreTrainedModel, *, source: str, context_length: int, pooled: bool = False) -> Method:
    """Return the fastest exact method for ``model``, comparing on short random conversations.

    Args:
        model: A model as it was loaded; its attention implementation is the same afterwards.
        source: Its name, for messages.
        context_length: Maximum number of tokens that it will read.
        pooled: Whether packed conversations share one pool.

    Raises:
        ConfigError: No method is exact.
    """
    _check_positions(model, context_length)
    window = attention_window(model.config.get_text_config())
    fits = window is None or context_length <= window
    prelude = window if window is not None and not fits and window <= _LONGEST_WINDOW else 0
    try:
        sample = _Sample.of(model, prelude=prelude)
    except Exception as error:
        raise _refusal(model, source, f"its forward pass over text fails ({_first_line(error)})") from error
    sample.check_causal(model, source)
    plain_head = _holds(lambda: sample.plain_head_matches(model))
    method = Method(packed=True, plain_head=plain_head, one_pass=False, pooled=pooled)
    if pooled and may_have_varlen(model):
        varlen = replace(method, varlen=True)
        method = varlen if _holds(lambda: sample.packed_matches(model, varlen)) else method
    packed = fits and _holds(lambda: sample.same_order(model) and sample.packed_matches(model, method))
    # The window of a token tree counts along each branch. Only a window that the sample exceeds can be compared.
    slides = prelude > 0 and window == sliding_window(model.config.get_text_config())
    one_pass = (fits or slides) and all(
        _holds(partial(sample.rows_match, model, one_pass=True, attention=name))
        for name in _scoring_attentions(model, packed=packed)
    )
    if not packed and not _holds(lambda: sample.own_cache_matches(model)):
        raise _refusal(model, source, "with its own cache it does not compute what its forward pass computes")
    if not one_pass and not _holds(lambda: sample.rows_match(model, one_pass=False)):
        raise _refusal(model, source, "it cannot score a single sequence")
    method = replace(method, packed=packed, one_pass=one_pass)
    _log_fallback(model, source, method)
    return method


def attention_window(config: PretrainedConfig) -> int | None:
    """Return the shortest distance, in tokens, at which a layer stops seeing the past; None without such a limit."""
    settings = config.to_dict()
    # Some families keep the length of a window that no layer has.
    all_full = set(settings.get("layer_types") or ()) == {"full_attention"}
    lengths = [
        value
        for name, value in settings.items()
        if ((_WINDOW.fullmatch(name) and not all_full) or name in _OTHER_LIMITS)
        and isinstance(value, int)
        and not isinstance(value, bool)
        and value > 0
    ]
    return min(lengths, default=None)


@dataclass(frozen=True, slots=True)
class _Sample:
    """Random conversations with the model's own results on them, computed without a cache.

    The second conversation leaves the first at the place ``fork``; the third is another one.

    Attributes:
        conversations: Token ids.
        fork: Length of what the first two conversations share.
        logits: Logits after every token of each conversation, of shape (T, V).
        hidden: What the base model passes to the head, of shape (T, D).
    """

    conversations: tuple[list[int], list[int], list[int]]
    fork: int
    logits: list[torch.Tensor]
    hidden: list[torch.Tensor]

    @classmethod
    def of(cls, model: PreTrainedModel, *, prelude: int) -> "_Sample":
        """Return conversations whose first turn is longer by ``prelude`` tokens."""
        vocabulary = model.config.get_text_config().vocab_size
        generator = torch.Generator().manual_seed(0)

        def tokens(count: int) -> list[int]:
            return torch.randint(0, vocabulary, (count,), generator=generator).tolist()

        fork = prelude + sum(_TURNS[:2])
        first = tokens(prelude + sum(_TURNS))
        conversations = (first, [*first[:fork], *tokens(_TURNS[2] + 1)], tokens(prelude + sum(_TURNS) - 3))
        return cls(conversations, fork, *_own_results(model, conversations))

    def check_causal(self, model: PreTrainedModel, source: str) -> None:
        """Check that the model's numbers are finite, and that no token depends on later ones."""
        first = self.logits[0]
        if not torch.isfinite(first).any():
            raise _refusal(model, source, "its forward pass gives numbers that are not finite")
        if not _close(self.logits[1][: self.fork], first[: self.fork], _precision(model)):
            raise _refusal(model, source, "what it predicts depends on later tokens, so it is not a causal model")

    def plain_head_matches(self, model: PreTrainedModel) -> bool:
        """Return whether logits are the output embedding of hidden states."""
        return _close(_head(model, self.hidden[0]), self.logits[0], _precision(model))

    def same_order(self, model: PreTrainedModel) -> bool:
        """Return whether the output embedding of hidden states orders tokens as the logits do."""
        order = self.logits[0].argsort(dim=-1)
        sorted_TV = _head(model, self.hidden[0]).gather(-1, order)
        falls = (sorted_TV.cummax(dim=-1).values - sorted_TV).max()
        return float(falls) <= _tolerance(_precision(model)) * float(sorted_TV.std())

    def packed_matches(self, model: PreTrainedModel, method: Method) -> bool:
        """Return whether several turns of packed conversations give the model's own hidden states."""
        first, second, third = self.conversations
        fork, middle = self.fork, len(third) - 4
        with _attention(model, ATTENTION):
            both = method.conversations(model)
            unread = [both.keep_common_prefix("one", first[:fork]), both.keep_common_prefix("other", third[:middle])]
            found = [*both.read(["one", "other"], unread)]
            expected = [self.hidden[0][fork - 1], self.hidden[2][middle - 1]]
            branches = [first[fork : fork + 3], second[fork:]]
            tree = TokenTree.of(branches)
            (ahead,) = both.read_ahead(["one"], [Continuation(tokens=tree.tokens, depths=tree.depths, ends=tree.ends)])
            for states, branch in zip(self.hidden[:2], branches, strict=True):
                place = ROOT
                for offset, token in enumerate(branch):
                    place = tree.children(place)[token]
                    found.append(ahead[place])
                    expected.append(states[fork + offset])
            found += [*both.read(["other", "one"], [third[middle : middle + 1], second[fork:]])]
            expected += [self.hidden[2][middle], self.hidden[1][-1]]
            unread = [both.keep_common_prefix("one", first), both.keep_common_prefix("other", third)]
            found += [*both.read(["one", "other"], unread)]
            expected += [self.hidden[0][-1], self.hidden[2][-1]]
        return _close(torch.stack(found), torch.stack(expected), _precision(model))

    def rows_match(self, model: PreTrainedModel, *, one_pass: bool, attention: str | None = None) -> bool:
        """Return whether scoring rows with branches gives the model's own logits.

        The first token is not scored, because some models compute logits everywhere whatever is asked of them.
        """
        first, second, third = self.conversations
        fork, tail = self.fork, len(second) - self.fork
        trunk = [*range(fork), *range(fork + tail, len(first) + tail)]
        tree = TokenTree(
            (*second, *first[fork:]),
            (*range(-1, len(second) - 1), fork - 1, *range(len(second), len(second) + len(first) - fork - 1)),
        )
        rows = [
            Row(task_id="", tree=tree, spans=(_span(trunk[1:]), _span(range(fork, len(second))))),
            Row(task_id="", tree=TokenTree.of([third]), spans=(_span(range(1, len(third))),)),
        ]
        batch = collate(rows, pad_id=0, dtype=model.dtype, one_pass=one_pass)
        on_device = {name: value.to(model.device) for name, value in batch.items()}  # type: ignore[attr-defined]
        with _attention(model, attention), torch.inference_mode():
            found = batch_logits(model, on_device)  # type: ignore[arg-type]
        expected = torch.cat([self.logits[0][1:], self.logits[1][fork:], self.logits[2][1:]])
        return _close(found, expected, _precision(model))

    def own_cache_matches(self, model: PreTrainedModel) -> bool:
        """Return whether reading a prompt and then token by token with the model's own cache gives its own logits."""
        ids = self.conversations[0]
        start = len(ids) - _TURNS[-1]
        cache = OwnCache()
        found = [cache.read(model, ids[:start])]
        found += [cache.read(model, [token]) for token in ids[start:]]
        return _close(torch.stack(found), self.logits[0][start - 1 :], _precision(model))


def _own_results(
    model: PreTrainedModel, conversations: Sequence[Sequence[int]]
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Return the logits (T, V) and the last hidden states (T, D) of each conversation, read in one pass."""
    hidden: list[torch.Tensor] = []
    hook = model.base_model.register_forward_hook(lambda *call: hidden.append(call[-1][0][0]))
    try:
        with torch.inference_mode():
            logits = [
                model(input_ids=torch.tensor([list(ids)], device=model.device), use_cache=False).logits[0]
                for ids in conversations
            ]
    finally:
        hook.remove()
    return logits, hidden


def _head(model: PreTrainedModel, hidden: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = model.get_output_embeddings()(hidden)
    return logits


def _close(found: torch.Tensor, expected: torch.Tensor, dtype: torch.dtype) -> bool:
    """Return whether both are equal up to rounding."""
    if found.shape != expected.shape:
        return False
    difference = torch.where(torch.isfinite(expected), found - expected, 0.0).float()
    spread = expected[torch.isfinite(expected)].float().std()
    return float(difference.square().mean(dim=-1).sqrt().max()) <= _tolerance(dtype) * float(spread)


def _precision(model: PreTrainedModel) -> torch.dtype:
    """Return the type whose rounding is to be expected: LLM.int8() also rounds what its modules read."""
    return torch.float16 if getattr(model, "is_loaded_in_8bit", False) else model.dtype


def _tolerance(dtype: torch.dtype) -> float:
    return _TOLERANCE if dtype in (torch.float32, torch.float64) else _HALF_PRECISION_TOLERANCE


def _holds(check: Callable[[], bool]) -> bool:
    """Return what ``check`` finds, or False if the model cannot compute in this way at all."""
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - whatever a family's code raises, it cannot be computed in this way
        logger.debug("Not exact: %s: %s", type(error).__name__, error)
        return False


@contextmanager
def _attention(model: PreTrainedModel, name: str | None) -> Iterator[None]:
    """Use the attention implementation ``name`` for a while; None leaves the model's own."""
    own = model.config._attn_implementation
    try:
        if name is not None and name != own:
            model.set_attn_implementation(name)
        yield
    finally:
        if name is not None and name != own:
            model.set_attn_implementation(own)


def _scoring_attentions(model: PreTrainedModel, *, packed: bool) -> list[str]:
    """Return the attention implementations that rows are scored and trained with."""
    # Packed attention uses sdpa for rows.
    own = model.config._attn_implementation
    names = [own, *(["sdpa"] if packed else []), *(["eager"] if model.device.type == "cpu" else [])]
    return list(dict.fromkeys(names))


def _span(places: Sequence[int] | range) -> Span:
    count = len(places)
    return Span(role=Role.CHOSEN, step=0, places=tuple(places), targets=(0,) * count, options=((),) * count)


def _check_positions(model: PreTrainedModel, context_length: int) -> None:
    """Check that the model has a position for every token of the context."""
    config = model.config.get_text_config()
    limits = [
        module.num_embeddings
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Embedding) and ("wpe" in name or "position" in name) and "relative" not in name
    ]
    rope = getattr(config, "rope_parameters", None) or {}
    limits += [
        int(settings.get("original_max_position_embeddings") or config.max_position_embeddings)
        for settings in (rope, *(value for value in rope.values() if isinstance(value, Mapping)))
        if settings.get("rope_type") in {"dynamic", "longrope"}
    ]
    if limits and min(limits) < context_length:
        raise ConfigError(
            f"student.context_length={context_length} is too long for this model ({config.model_type}), which reads up "
            f"to {min(limits)} tokens in one way; set student.context_length={min(limits)} or less."
        )


def _log_fallback(model: PreTrainedModel, source: str, method: Method) -> None:
    ways = []
    if not method.packed:
        ways.append("it decides in one conversation at a time, with the model's own cache")
    if not method.one_pass:
        ways.append("it is scored and trained with one row per step")
    if ways:
        logger.info(
            "The layers of %s (%s) are not all plain attention over %s; %s, which is slower.",
            source,
            model.config.model_type,
            "the whole context",
            ", and ".join(ways),
        )


def _refusal(model: PreTrainedModel, source: str, reason: str) -> ConfigError:
    return ConfigError(
        f"The model {source!r} of the family {model.config.model_type} cannot be a student: {reason}. Choose another "
        "student.model."
    )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
