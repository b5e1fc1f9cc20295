"""Engines of thin models, and work for them: conversations that grow, end and make room for others."""

import copy

import torch

from leap_exp.students.engines import in_process
from leap_exp.students.engines.in_process import InProcessEngine
from leap_exp.tokens.engine import GREEDY, Prompt
from leap_exp.tokens.tree import TokenTree
from tests.support.families import VOCABULARY, thin_model

STOP = 2


class Numbers:
    """Stands for a tokenizer: a text is the token ids."""

    def decode(self, ids):
        return " ".join(map(str, ids))


def thin_engine(monkeypatch, *, family="qwen3", pooled, device="cpu", dtype=torch.float32):
    """Return an engine of a thin model, in which nothing is loaded yet."""
    model = thin_model(family)
    monkeypatch.setattr(in_process, "load_model", lambda *_, **__: copy.deepcopy(model).to(device, dtype))
    monkeypatch.setattr(in_process, "_FACTS", {})
    return InProcessEngine(family, Numbers(), dtype=dtype, device=device, pad_id=0, context_length=512, pooled=pooled)


def numbers(count, *, seed):
    """Return random token ids."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, VOCABULARY, (count,), generator=generator).tolist()


def prompt(name, ids):
    """Return a prompt whose seed is that of its conversation and length."""
    return Prompt(ids=list(ids), conversation=name, seed=len(ids) * 1000 + int(name))


def actions(turn, name):
    """Return admissible actions with shared beginnings, and one that is a single fork away from another."""
    own = [(*numbers(2, seed=index % 3), *numbers(1 + index, seed=turn + index), STOP) for index in range(5)]
    return [*own, (*own[0][:-1], int(name) + 3, STOP)]


def play(engine, *, episodes=9, at_once=5, turns=4, sampling=GREEDY):
    """Play episodes of different lengths, ``at_once`` at a time; return what was written and chosen, by name.

    Every turn writes freely in all conversations and then chooses in every second one. An episode that has ended is
    replaced at once.
    """
    results = {str(name): [] for name in range(episodes)}
    histories = {name: numbers(11 + 7 * int(name), seed=int(name)) for name in results}
    waiting = list(results)
    live = []
    while waiting or live:
        live += [waiting.pop(0) for _ in range(min(len(waiting), at_once - len(live)))]
        engine.retain(live)
        written = engine.generate(
            [prompt(name, histories[name]) for name in live],
            stop_ids=frozenset({STOP, 5}),
            max_new_tokens=19,
            sampling=sampling,
        )
        for name, each in zip(live, written, strict=True):
            results[name].append((each.text, each.is_cut_off))
            histories[name] += [*map(int, each.text.split()), STOP]
        choosing = live[::2]
        trees = [TokenTree.of(actions(len(results[name]), name)) for name in choosing]
        for name, ids in zip(
            choosing, engine.choose([prompt(n, histories[n]) for n in choosing], trees, sampling=sampling), strict=True
        ):
            results[name].append(ids)
            histories[name] += ids
        for name in live:
            histories[name] += numbers(1 + int(name) * len(results[name]) % 40, seed=len(histories[name]))
        live = [name for name in live if len(results[name]) < turns + int(name) % 3]
    return results
