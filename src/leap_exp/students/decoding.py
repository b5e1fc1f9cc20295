"""Greedy decoding of many conversations at once: freely, or along the admissible actions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from transformers import PreTrainedModel

from leap_exp.prompts.trie import Trie
from leap_exp.students.varlen import ConversationCache, TokenTree, read, read_ahead


@dataclass(slots=True)
class _Writer:
    """One conversation being continued."""

    cache: ConversationCache
    unread: list[int]
    written: list[int] = field(default_factory=list)

    def write(self, token: int) -> None:
        self.written.append(token)
        self.unread.append(token)


def choose(
    model: PreTrainedModel, caches: Sequence[ConversationCache], prompts: Sequence[list[int]], tries: Sequence[Trie]
) -> list[list[int]]:
    """Continue each prompt along its trie, at every fork by the likelier token.

    Only forks cost a pass of the model: tokens that are the only ones possible are read together with the next fork, or
    with the next prompt of the conversation.
    """
    writers = _writers(caches, prompts)
    nodes = list(tries)
    while True:
        for index, writer in enumerate(writers):
            nodes[index] = _follow(nodes[index], writer)
        forks = [index for index, node in enumerate(nodes) if node.children]
        if not forks:
            return [writer.written for writer in writers]
        logits_BV = _next_token_logits(model, [writers[index] for index in forks])
        for row, index in enumerate(forks):
            options = list(nodes[index].children)
            best = options[int(logits_BV[row, options].argmax())]
            writers[index].write(best)
            nodes[index] = nodes[index].children[best]


def generate(
    model: PreTrainedModel,
    caches: Sequence[ConversationCache],
    prompts: Sequence[list[int]],
    *,
    stop_ids: frozenset[int],
    max_new_tokens: int,
) -> list[list[int]]:
    """Continue each prompt freely up to a stop token (not returned) or ``max_new_tokens``."""
    writers = _writers(caches, prompts)
    active = list(writers)
    for _ in range(max_new_tokens):
        chosen = _next_token_logits(model, active).argmax(dim=-1).tolist()
        for writer, token in zip(active, chosen, strict=True):
            if token in stop_ids:
                writer.unread.clear()
            else:
                writer.write(token)
        active = [writer for writer in active if writer.unread]
        if not active:
            break
    return [writer.written for writer in writers]


def likelihoods(
    model: PreTrainedModel,
    caches: Sequence[ConversationCache],
    prompts: Sequence[list[int]],
    tries: Sequence[Trie],
    *,
    restricted: Sequence[bool],
) -> list[dict[tuple[int, ...], float]]:
    """Log-probability (nats) of every token sequence of each trie, after the trie's prompt.

    Where a conversation is ``restricted``, a token's probability is its share among those that the trie has there.
    """
    layouts = [_Layout(trie, forks_only=only) for trie, only in zip(tries, restricted, strict=True)]
    unread = [cache.keep_common_prefix(prompt) for cache, prompt in zip(caches, prompts, strict=True)]
    after_prompt_BD = read(model, caches, unread)
    branching = [place for place, layout in enumerate(layouts) if layout.tokens]
    ahead = dict.fromkeys(range(len(layouts)), after_prompt_BD[:0])
    if branching:
        trees = [layouts[place].tree for place in branching]
        ahead |= dict(zip(branching, read_ahead(model, [caches[place] for place in branching], trees), strict=True))
    values = []
    for place, layout in enumerate(layouts):
        with torch.inference_mode():
            logits_NV = model.get_output_embeddings()(torch.cat([after_prompt_BD[place, None], ahead[place]]))
        values.append(layout.sums(logits_NV.float().cpu()))
    return values


class _Layout:
    """A trie laid out for reading: its root, and below it the nodes at which a token is to be scored, or further on.

    With ``forks_only`` a token without a rival is certain, so that it is read only if a fork comes after it.
    """

    def __init__(self, trie: Trie, *, forks_only: bool) -> None:
        self._forks_only = forks_only
        self._nodes = [trie]
        self._places: dict[tuple[int, int], int] = {}
        self.tokens: list[int] = []
        self._parents: list[int] = []
        self._depths = [-1]
        for place, node in enumerate(self._nodes):  # which grows meanwhile
            for token, child in node.children.items():
                if self._is_read(child):
                    self._places[place, token] = len(self._nodes)
                    self._nodes.append(child)
                    self.tokens.append(token)
                    self._parents.append(place - 1)
                    self._depths.append(self._depths[place] + 1)

    @property
    def tree(self) -> TokenTree:
        """All nodes but the root."""
        return TokenTree(self.tokens, self._parents, self._depths[1:])

    def sums(self, logits_NV: torch.Tensor) -> dict[tuple[int, ...], float]:
        """Log-probability of every sequence, from the logits at the root and at the other nodes."""
        scores: list[dict[int, float]] = []
        for place, node in enumerate(self._nodes):
            options = list(node.children)
            option_logits_V = logits_NV[place, options]
            normaliser = option_logits_V.logsumexp(-1) if self._forks_only else logits_NV[place].logsumexp(-1)
            scores.append(dict(zip(options, (option_logits_V - normaliser).tolist(), strict=True)))
        return dict(self._walk(self._nodes[0], 0, (), 0.0, scores))

    def _walk(
        self, node: Trie, place: int | None, written: tuple[int, ...], total: float, scores: Sequence[dict[int, float]]
    ) -> Iterator[tuple[tuple[int, ...], float]]:
        """Every sequence that begins with ``written``, after which stands ``node``; None as place: it was not read."""
        if not node.children:
            yield written, total
        for token, child in node.children.items():
            score = 0.0 if place is None else scores[place][token]
            below = None if place is None else self._places.get((place, token))
            yield from self._walk(child, below, (*written, token), total + score, scores)

    def _is_read(self, node: Trie) -> bool:
        """Whether a token is to be scored at ``node``, or with ``forks_only`` also further on."""
        if not self._forks_only:
            return bool(node.children)
        return len(node.children) > 1 or any(map(self._is_read, node.children.values()))


def _writers(caches: Sequence[ConversationCache], prompts: Sequence[list[int]]) -> list[_Writer]:
    return [_Writer(cache, cache.keep_common_prefix(prompt)) for cache, prompt in zip(caches, prompts, strict=True)]


def _follow(node: Trie, writer: _Writer) -> Trie:
    """Write the tokens that are the only ones possible, up to the next fork or the end."""
    while len(node.children) == 1:
        ((token, node),) = node.children.items()
        writer.write(token)
    return node


def _next_token_logits(model: PreTrainedModel, writers: Sequence[_Writer]) -> torch.Tensor:
    hidden_BD = read(model, [writer.cache for writer in writers], [writer.unread for writer in writers])
    for writer in writers:
        writer.unread = []
    with torch.inference_mode():
        logits: torch.Tensor = model.get_output_embeddings()(hidden_BD)
    return logits
