"""Drawing tokens: with the right frequencies, in every batch the same, and greedily at temperature 0."""

from collections import Counter

import pytest
import torch

from leap_exp.students.engines.sampling import pick, pick_children, uniforms
from leap_exp.tokens.engine import GREEDY, Prompt, Sampling
from leap_exp.tokens.tree import TokenTree
from tests.support.acting import STOP, actions, numbers, prompt, thin_engine

DRAWS = 4000


def frequencies(logits, sampling):
    """Return how often each token is drawn."""
    drawn = torch.tensor(uniforms(range(DRAWS), [7] * DRAWS))
    tokens = pick(torch.tensor([logits]).repeat(DRAWS, 1), sampling, drawn)
    return {token: count / DRAWS for token, count in Counter(tokens.tolist()).items()}


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_are_drawn_with_their_probabilities(temperature):
    logits = [0.0, 1.0, -1.0, 2.0]
    found = frequencies(logits, Sampling(temperature=temperature))
    expected = (torch.tensor(logits) / temperature).softmax(-1).tolist()
    for token, probability in enumerate(expected):
        assert found.get(token, 0.0) == pytest.approx(probability, abs=0.025)


def test_top_k_and_top_p_keep_the_likeliest_and_renormalise():
    logits = torch.tensor([0.4, 0.3, 0.2, 0.1]).log().tolist()
    assert frequencies(logits, Sampling(temperature=1.0, top_k=2)) == pytest.approx({0: 4 / 7, 1: 3 / 7}, abs=0.025)
    # 0.4 and 0.3 together have 0.65; without 0.3 they would not.
    assert set(frequencies(logits, Sampling(temperature=1.0, top_p=0.65))) == {0, 1}
    assert set(frequencies(logits, Sampling(temperature=1.0, top_p=0.75))) == {0, 1, 2}
    assert set(frequencies(logits, Sampling(temperature=1.0, top_p=1e-6))) == {0}
    assert set(frequencies(logits, Sampling(temperature=1.0, top_k=2, top_p=0.5))) == {0}


def test_a_token_that_is_impossible_is_never_drawn():
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf]])
    for drawn in (0.0, 0.5, 1 - 2**-53):
        assert pick(logits, Sampling(temperature=1.0), torch.tensor([drawn], dtype=torch.float64)).tolist() == [1]


def test_numbers_depend_on_the_decision_and_the_position():
    first, second, third = uniforms([1, 1, 2], [5, 6, 5])
    assert len({first, second, third}) == 3
    assert uniforms([2], [5]) == [third]
    assert all(0.0 <= number < 1.0 for number in uniforms(range(1000), range(1000)))


def test_children_are_drawn_alike_in_any_order_and_the_first_of_equals_is_the_likeliest():
    logits = torch.zeros(1, 9)
    sampling = Sampling(temperature=1.0)
    for drawn in (0.1, 0.5, 0.9):
        given = torch.tensor([drawn])
        assert pick_children(logits, [[7, 2, 4]], sampling, given) == pick_children(
            logits, [[4, 7, 2]], sampling, given
        )
    assert pick_children(logits, [[7, 2, 4]], GREEDY, None) == [7]


@pytest.mark.parametrize("pooled", [False, True])
def test_a_sampled_decision_does_not_depend_on_its_batch(monkeypatch, pooled):
    sampling = Sampling(temperature=1.0, top_p=0.95)
    prompts = [prompt(str(name), numbers(8 + 5 * name, seed=name)) for name in range(4)]
    trees = [TokenTree.of(actions(1, str(name))) for name in range(4)]
    how = {"stop_ids": frozenset({STOP}), "max_new_tokens": 9, "sampling": sampling}
    together = thin_engine(monkeypatch, pooled=pooled)
    written, chosen = together.generate(prompts, **how), together.choose(prompts, trees, sampling=sampling)
    alone = thin_engine(monkeypatch, pooled=pooled)
    assert [alone.generate([each], **how)[0] for each in prompts[::-1]] == written[::-1]
    assert [
        alone.choose([each], [tree], sampling=sampling)[0] for each, tree in zip(prompts, trees, strict=True)
    ] == chosen
    others = [Prompt(ids=each.ids, conversation=each.conversation, seed=each.seed + 1) for each in prompts]
    assert alone.generate(others, **how) != written


def test_at_a_low_temperature_a_student_does_what_it_does_greedily(monkeypatch):
    prompts = [prompt("1", numbers(20, seed=1))]
    how = {"stop_ids": frozenset({STOP}), "max_new_tokens": 9}
    engine = thin_engine(monkeypatch, pooled=False)
    assert engine.generate(prompts, **how) == engine.generate(prompts, **how, sampling=Sampling(temperature=1e-4))
