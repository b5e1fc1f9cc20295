"""Conversations in one pool, as on an accelerator: on a processor they decide what separate ones decide."""

import pytest
import torch

from leap_exp.students.engines import attention, pool
from leap_exp.students.engines.pool import PooledConversations
from leap_exp.students.engines.pooled_attention import Pool
from leap_exp.tokens.engine import GREEDY, Sampling
from leap_exp.tokens.spans import choice_row
from tests.support.acting import STOP, numbers, play, prompt, thin_engine

SAMPLINGS = [GREEDY, Sampling(temperature=0.8, top_p=0.9, top_k=12)]


@pytest.mark.parametrize("family", ["llama", "qwen3"])
@pytest.mark.parametrize("sampling", SAMPLINGS, ids=["greedy", "sampled"])
def test_pooled_conversations_decide_as_separate_ones(monkeypatch, family, sampling):
    separate = play(thin_engine(monkeypatch, family=family, pooled=False), sampling=sampling)
    pooled = play(thin_engine(monkeypatch, family=family, pooled=True), sampling=sampling)
    assert pooled == separate
    # Texts of different lengths, so that some end while others go on.
    assert len({len(text) for turns in separate.values() for text, *_ in turns if isinstance(text, str)}) > 5


def test_a_pool_that_grows_and_reads_in_parts_decides_the_same(monkeypatch):
    expected = play(thin_engine(monkeypatch, pooled=True))
    monkeypatch.setattr(Pool, "growth", 16)
    monkeypatch.setattr(pool, "_LENGTHS", 16)
    monkeypatch.setattr(pool, "_READ_TOKENS", 60)
    assert play(thin_engine(monkeypatch, pooled=True)) == expected


@pytest.mark.parametrize("family", ["llama", "qwen3"])
@pytest.mark.parametrize("sampling", SAMPLINGS, ids=["greedy", "sampled"])
def test_one_call_for_all_conversations_that_write_decides_as_a_call_for_each(monkeypatch, family, sampling):
    shares = []
    own = attention._Step.attend
    monkeypatch.setattr(
        attention._Step,
        "attend",
        lambda *call: shares.append(len(call[0].pasts_B) / len(call[0].bias_S1GT)) or own(*call),
    )
    monkeypatch.setattr(attention, "_FILLED", 2.0)
    one_by_one = play(thin_engine(monkeypatch, family=family, pooled=False), sampling=sampling)
    assert not shares
    monkeypatch.setattr(attention, "_FILLED", 0.1)
    monkeypatch.setattr(attention._KeysByHead, "growth", 16)
    assert play(thin_engine(monkeypatch, family=family, pooled=False), sampling=sampling) == one_by_one
    # In some calls all slots take part, in others only a few.
    assert max(shares) == 1 > min(shares)


@pytest.mark.parametrize("block", [1, 3, 64])
def test_how_often_the_program_looks_at_the_tokens_does_not_matter(monkeypatch, block):
    expected = play(thin_engine(monkeypatch, pooled=True))
    monkeypatch.setattr(pool, "_BLOCK", block)
    assert play(thin_engine(monkeypatch, pooled=True)) == expected


def test_what_is_kept_of_a_conversation_is_not_read_again(monkeypatch):
    engine = thin_engine(monkeypatch, pooled=True)
    read = []
    own = PooledConversations._read
    monkeypatch.setattr(PooledConversations, "_read", lambda *call: read.append(call[-1]) or own(*call))
    history = numbers(30, seed=1)
    (first,) = engine.generate([prompt("1", history)], stop_ids=frozenset({STOP}), max_new_tokens=4)
    written = [*map(int, first.text.split())]
    engine.generate([prompt("1", [*history, *written, 7, 8])], stop_ids=frozenset({STOP}), max_new_tokens=4)
    # The last token is read only if another one follows.
    assert len(read[-1][0]) == (3 if first.is_cut_off else 2)


def test_conversations_that_are_over_make_room_in_the_first_slots(monkeypatch):
    engine = thin_engine(monkeypatch, pooled=True)
    prompts = [prompt(str(name), numbers(20 + name, seed=name)) for name in range(6)]
    before = engine.generate(prompts, stop_ids=frozenset({STOP}), max_new_tokens=3)
    engine.retain(["1", "5"])
    assert sorted(engine._conversations._slots.values()) == [0, 1]
    again = engine.generate([prompts[1], prompts[5]], stop_ids=frozenset({STOP}), max_new_tokens=3)
    assert again == [before[1], before[5]]


def test_pooled_scores_are_those_of_separate_conversations(monkeypatch):
    rows = [
        choice_row(
            str(name), numbers(9 + 8 * name, seed=name), [numbers(3 + i, seed=i) for i in range(4)], restricted=r
        )
        for name, r in enumerate((False, True, False))
    ]
    names = [row.task_id for row in rows]
    separate, pooled = (
        thin_engine(monkeypatch, pooled=kind).score(rows, conversations=names) for kind in (False, True)
    )
    for one, other in zip(separate, pooled, strict=True):
        assert [one.total(i) for i in range(4)] == pytest.approx([other.total(i) for i in range(4)], abs=1e-4)


def test_half_precision_on_a_processor_stays_close(monkeypatch):
    engine = thin_engine(monkeypatch, pooled=True, dtype=torch.bfloat16)
    assert engine.facts.method.packed
    assert engine.facts.method.pooled
    assert not engine.facts.method.varlen
    play(engine, episodes=2)
