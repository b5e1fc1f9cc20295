"""Greedy decoding of many conversations at once: freely, or along the admissible actions."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from transformers import PreTrainedModel

from leap_exp.prompts.trie import Trie
from leap_exp.students.varlen import ConversationCache, read


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
