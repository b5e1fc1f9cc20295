"""Acting on a GPU: it decides as the processor does, with recorded steps and with the kernel for half precision."""

import json

import pytest
import torch

from leap_exp.cli import bench_engine
from leap_exp.students.engines import pool, pooled_attention
from leap_exp.tokens.engine import GREEDY, Sampling
from leap_exp.tokens.spans import choice_row
from tests.support.acting import STOP, numbers, play, prompt, thin_engine

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]
SAMPLINGS = [GREEDY, Sampling(temperature=0.8, top_p=0.9, top_k=12)]


@pytest.fixture(autouse=True)
def whole_precision(monkeypatch):
    """Compute float32 products in float32."""
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)


def loops(engine):
    return list(engine._conversations._loops.values())


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
@pytest.mark.parametrize("sampling", SAMPLINGS, ids=["greedy", "sampled"])
def test_a_gpu_decides_as_the_processor_token_for_token(monkeypatch, family, sampling):
    expected = play(thin_engine(monkeypatch, family=family, pooled=False), sampling=sampling)
    engine = thin_engine(monkeypatch, family=family, pooled=None, device="cuda")
    assert play(engine, sampling=sampling) == expected
    assert engine.facts.method.pooled
    assert all(loop._graph is not None for loop in loops(engine))


def test_recorded_steps_write_what_steps_one_by_one_write(monkeypatch):
    recorded = play(thin_engine(monkeypatch, pooled=True, device="cuda"))
    monkeypatch.setattr(pool.StepLoop, "_record", lambda self: None)
    assert play(thin_engine(monkeypatch, pooled=True, device="cuda")) == recorded


def test_a_pool_that_grows_records_its_steps_anew(monkeypatch):
    expected = play(thin_engine(monkeypatch, pooled=True, device="cuda"))
    monkeypatch.setattr(pooled_attention, "_GROWTH_TOKENS", 16)
    monkeypatch.setattr(pool, "_LENGTHS", 64)
    assert play(thin_engine(monkeypatch, pooled=True, device="cuda")) == expected


def test_in_half_precision_the_kernel_for_different_lengths_is_used_and_gives_the_masked_result(monkeypatch):
    engine = thin_engine(monkeypatch, pooled=True, device="cuda", dtype=torch.bfloat16)
    if not pooled_attention.may_have_varlen(engine.model):
        pytest.skip("this PyTorch has no such kernel")
    assert engine.facts.method.varlen
    names, rows = ["1", "2", "3"], [numbers(length, seed=length) for length in (70, 9, 33)]
    states = []
    for varlen in (True, False):
        both = pool.PooledConversations(engine.model, varlen=varlen)
        read = []
        for part in ([row[:8] for row in rows], [row[8:] for row in rows]):
            for name in names:
                both.keep_common_prefix(name, [*both._tokens.get(name, []), 0])
            read.append(both.read(names, part))
        states.append(torch.stack(read).float())
    assert (states[0] - states[1]).abs().max() < 0.1 * states[1].std()
    play(engine, episodes=3)


def test_a_model_whose_steps_cannot_be_recorded_still_writes(monkeypatch):
    expected = play(thin_engine(monkeypatch, family="qwen3_moe", pooled=False), episodes=3)
    assert play(thin_engine(monkeypatch, family="qwen3_moe", pooled=True, device="cuda"), episodes=3) == expected


def test_scores_on_a_gpu_are_those_of_the_processor(monkeypatch):
    row = choice_row("1", numbers(30, seed=1), [numbers(3 + index, seed=index) for index in range(4)], restricted=False)
    scores = [
        thin_engine(monkeypatch, pooled=None, device=device).score([row], conversations=["1"])[0]
        for device in ("cpu", "cuda")
    ]
    assert [scores[1].total(index) for index in range(4)] == pytest.approx(
        [scores[0].total(index) for index in range(4)], abs=1e-3
    )


def test_memory_is_given_back(monkeypatch):
    engine = thin_engine(monkeypatch, pooled=True, device="cuda")
    engine.generate([prompt("1", numbers(20, seed=1))], stop_ids=frozenset({STOP}), max_new_tokens=4)
    used = torch.cuda.memory_allocated()
    engine.sleep()
    assert torch.cuda.memory_allocated() < used


def test_the_benchmark_runs(capsys):
    bench_engine.engine(shape="tiny", episodes=4, steps=2, seconds=20)
    result = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert result["one_at_a_time_ratio"] > 0
