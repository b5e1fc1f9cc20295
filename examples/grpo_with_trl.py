"""GRPO with TRL on exact ALFWorld games: `python examples/grpo_with_trl.py`.

The game is TRL's environment: `reset` shows the first observation, `act` is a tool that the model calls, and the
reward is the exact score. The model is tiny and has random weights, so it first imitates the oracle's calls (SFT) until
it wins now and then; GRPO does the rest. With a model that can call tools, use `--model FOLDER --imitation-steps 0`.
"""

import argparse
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import get_json_schema
from trl import GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer
from trl.chat_template_utils import qwen2_5_chat_template

from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import Observation, Step, Task, View
from leap_exp.envs.alfworld.config import AlfworldConfig
from leap_exp.interfaces.sessions import Session
from leap_exp.students.weights import load_model, load_tokenizer, resolve_weights

PROMPT = "Solve the household task. Call act with one admissible action at a time, until the task is done.\n\n"
SPLIT, MAX_STEPS = "train", 12

environment = cache(AlfworldConfig().build)


class AlfworldGame:
    """A game as TRL wants it: every public method but `reset` and `get_reward` is a tool."""

    def __init__(self) -> None:
        self._session = Session(environment(), max_steps=MAX_STEPS)

    def reset(self, *, index: int, **_row: object) -> str:
        """Start the game at `index` of the split, a column of the dataset. TRL appends the result to the prompt."""
        return _shown(self._session.start(environment().tasks(SPLIT)[index], seed=0))

    def act(self, action: str) -> str:
        """Take one action.

        Args:
            action: One of the admissible actions.

        Returns:
            What happens, and the actions that are admissible then.
        """
        if self._session.done:
            return "The game is over."
        transition = self._session.step(action)
        return _shown(transition.observation, over=transition.done)

    def get_reward(self) -> float:
        """Return the exact score: 1 if the game is won, else 0."""
        return self._session.score


def train(
    *,
    games: int = 1,
    model: str = "tiny",
    imitation_steps: int = 80,
    steps: int = 10,
    seed: int = 0,
    out: Path = Path("outputs/grpo_with_trl"),
) -> list[float]:
    """Train on the first `games` games of the split; return the mean reward at each step of GRPO."""
    weights, tokenizer = _load(model)
    if imitation_steps:
        _imitate(weights, tokenizer, games, steps=imitation_steps, seed=seed, out=out)
    rows = [{"prompt": [{"role": "user", "content": PROMPT}], "index": index} for index in range(games)]
    trainer = GRPOTrainer(
        weights,
        args=GRPOConfig(
            output_dir=str(out),
            seed=seed,
            max_steps=steps,
            num_generations=16,
            per_device_train_batch_size=16,
            learning_rate=5e-5,
            max_completion_length=8192,
            max_tool_calling_iterations=MAX_STEPS,
            # Of one answer.
            generation_kwargs={"max_new_tokens": 96},
            **_COMMON,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        environment_factory=AlfworldGame,
    )
    trainer.train()
    return [entry["reward"] for entry in trainer.state.log_history if "reward" in entry]


def demonstration(task: Task, index: int) -> list[dict[str, object]]:
    """Return the oracle's game as a conversation with tool calls."""
    game, oracle = AlfworldGame(), environment().oracle(task)
    messages: list[dict[str, object]] = [{"role": "user", "content": PROMPT + game.reset(index=index)}]
    history: tuple[Step, ...] = ()
    with environment().open(task, seed=0) as episode:
        done = False
        while not done:
            observation = episode.observation
            view = View(task=task, history=history, observation=observation)
            decision = oracle.decide(view, Disclosure.P100, seed=0)
            transition = episode.step(decision.action)
            history += (Step(observation=observation, decision=decision, reward=transition.reward),)
            done = transition.done
            call = {"type": "function", "function": {"name": "act", "arguments": {"action": decision.action}}}
            messages.append({"role": "assistant", "content": "", "tool_calls": [call]})
            messages.append({"role": "tool", "name": "act", "content": game.act(decision.action)})
    return [*messages, {"role": "assistant", "content": "Done."}]


_COMMON = {
    "use_cpu": not torch.cuda.is_available(),
    "bf16": False,
    "gradient_checkpointing": False,
    "lr_scheduler_type": "constant",
    "logging_steps": 1,
    "save_strategy": "no",
    "report_to": [],
    "disable_tqdm": True,
}


def _load(model: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    weights = load_model(resolve_weights(model), dtype=torch.float32, device=device)
    tokenizer = load_tokenizer(resolve_weights(model))
    if model == "tiny":
        # A template with tools, which TRL knows how to parse. Models that can call tools have their own.
        tokenizer.chat_template = qwen2_5_chat_template
    return weights, tokenizer


def _imitate(
    weights: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, games: int, *, steps: int, seed: int, out: Path
) -> None:
    tasks = environment().tasks(SPLIT)[:games]
    tools = [get_json_schema(AlfworldGame().act)]
    rows = [{"messages": demonstration(task, index), "tools": tools} for index, task in enumerate(tasks)]
    arguments = SFTConfig(
        output_dir=str(out),
        seed=seed,
        max_steps=steps,
        per_device_train_batch_size=1,
        learning_rate=3e-3,
        max_length=None,
        assistant_only_loss=True,
        **_COMMON,
    )
    SFTTrainer(weights, args=arguments, train_dataset=Dataset.from_list(rows), processing_class=tokenizer).train()


def _shown(observation: Observation, *, over: bool = False) -> str:
    if over:
        return f"{observation.text.strip()}\nThe game is over."
    return f"{observation.text.strip()}\nAdmissible actions: {', '.join(observation.admissible_actions or ())}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, and print the mean reward at each step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--games", type=int, default=1, help="number of games to train on")
    parser.add_argument("--model", default="tiny", help="tiny (random weights), or a folder with weights")
    parser.add_argument("--imitation-steps", type=int, default=80, help="steps of SFT before GRPO")
    parser.add_argument("--steps", type=int, default=10, help="steps of GRPO")
    parser.add_argument("--seed", type=int, default=0, help="seed of the order of data and of the answers")
    options = parser.parse_args(arguments)
    rewards = train(**vars(options))
    print("Mean reward at each step:", " ".join(f"{reward:.2f}" for reward in rewards))


if __name__ == "__main__":
    main()
