"""The example that trains with TRL: its environment, and steps of GRPO."""

import pytest

pytest.importorskip("trl", reason="TRL is not installed: pip install 'leap-exp[dev]'")

from leap_exp.interfaces.sessions import Session
from tests.e2e.test_examples import EXAMPLES


@pytest.fixture
def example(monkeypatch):
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    monkeypatch.syspath_prepend(EXAMPLES)
    import grpo_with_trl

    return grpo_with_trl


def test_the_game_is_the_environments(example):
    task = example.environment().tasks("train")[3]
    conversation = example.demonstration(task, 3)
    calls = [message["tool_calls"][0]["function"] for message in conversation if "tool_calls" in message]
    answers = [message["content"] for message in conversation if message["role"] == "tool"]
    game = example.AlfworldGame()
    with Session(example.environment(), max_steps=example.MAX_STEPS) as session:
        first = session.start(task, seed=0)
        assert conversation[0]["content"] == f"{example.PROMPT}{game.reset(index=3)}"
        assert first.text.strip() in conversation[0]["content"]
        for call, text in zip(calls, answers, strict=True):
            assert game.get_reward() == 0.0
            assert text == game.act(**call["arguments"])
            assert session.step(call["arguments"]["action"]).observation.text.strip() in text
    assert session.done
    assert game.get_reward() == 1.0
    assert game.act("look") == "The game is over."
    game.reset(index=3)
    assert game.get_reward() == 0.0


@pytest.mark.slow
def test_grpo_gets_exact_scores(example, tmp_path):
    rewards = example.train(steps=2, out=tmp_path)
    assert len(rewards) == 2
    # A mean over 16 games, of which imitation wins some.
    assert all((16 * reward).is_integer() and reward < 1.0 for reward in rewards)
    assert max(rewards) > 0.0
