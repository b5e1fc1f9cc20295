"""``leap bench engine``: how fast the engine acts, beside the authors' way and transformers' own on the same work.

The work is that of ALFWorld: episodes whose histories grow by an observation and an answer at every step. All ways
continue the same prompts, which follow the engine's own answers.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from statistics import fmean, median
from typing import Annotated, Any

import torch
import typer
from transformers import PreTrainedModel

from leap_exp.cli.bench_options import Device, Dtype, Model, Shape, choose_shape
from leap_exp.core.seeding import derive_seed
from leap_exp.students.engines.in_process import InProcessEngine
from leap_exp.students.weights import SHAPES, load_model, load_tokenizer, resolve_weights, select_device, select_dtype
from leap_exp.tokens.engine import Prompt
from leap_exp.tokens.tree import ROOT, TokenTree

_ACTIONS = 24
"""Admissible actions at every step; ALFWorld lists about 28."""
_ACTION_TOKENS = 8
_OURS_SHARE, _OTHERS_SHARE = 0.4, 0.25
"""Shares of the time limit."""
_SPACED_STEPS = 3
"""Steps at which the other ways are timed. A step's time grows evenly with the history: their mean is that of all."""


@dataclass(frozen=True, slots=True)
class Work:
    """Episodes of up to ``steps`` steps, from an opening of so many tokens on, with turns and answers of so many.

    ``vocabulary`` is the number of token ids to draw from.
    """

    episodes: int = 32
    steps: int = 20
    opening: int = 400
    turn: int = 60
    answer: int = 40
    vocabulary: int = 0

    @property
    def length(self) -> int:
        """The most tokens of an episode."""
        return self.opening + self.steps * (self.turn + self.answer) + _ACTION_TOKENS

    def shown(self, episode: int, step: int) -> list[int]:
        """Return the tokens of an observation; the first one comes with the instructions."""
        return self._draw(self.turn if step else self.opening, "shown", episode, step)

    def actions(self, episode: int, step: int) -> TokenTree:
        """Return the tree of the admissible actions: two verbs, four objects, and what is done with them."""
        verbs = [self._draw(2, "verb", index) for index in range(2)]
        objects = [self._draw(2, "object", index) for index in range(4)]
        ends = [self._draw(_ACTION_TOKENS - 4, "end", episode, step, index) for index in range(3)]
        return TokenTree.of([*verb, *thing, *end] for verb in verbs for thing in objects for end in ends)

    def _draw(self, count: int, *scope: str | int) -> list[int]:
        random = Random(derive_seed(0, *scope))
        return [random.randrange(3, self.vocabulary) for _ in range(count)]


@dataclass(slots=True)
class _Run:
    """What the engine was asked and has answered, by step and episode, and the seconds that each step took."""

    prompts: list[list[list[int]]] = field(default_factory=list)
    answers: list[list[str]] = field(default_factory=list)
    read_tokens: list[int] = field(default_factory=list)
    reading: list[float] = field(default_factory=list)
    choosing: list[float] = field(default_factory=list)
    writing: list[float] = field(default_factory=list)


class _Numbers:
    """Takes the place of a tokenizer, because the tokens are random: a text is the token ids."""

    def decode(self, ids: Sequence[int]) -> str:
        return " ".join(map(str, ids))


def engine(
    device: Device = "auto",
    shape: Shape = None,
    model: Model = None,
    dtype: Dtype = "auto",
    episodes: Annotated[int, typer.Option(help="Episodes at a time.")] = 32,
    steps: Annotated[int, typer.Option(help="Steps of an episode, unless the time limit is reached.")] = 20,
    opening: Annotated[int, typer.Option(help="Tokens of the instructions and the first observation.")] = 400,
    turn: Annotated[int, typer.Option(help="Tokens of a later observation.")] = 60,
    answer: Annotated[int, typer.Option(help="Tokens of an answer.")] = 40,
    seconds: Annotated[float, typer.Option(help="Time limit, met up to one step of each way.")] = 240.0,
) -> None:
    """Measure how fast a student acts, beside one episode at a time and transformers' batched generate."""
    device = select_device(device)
    work = Work(episodes, steps, opening, turn, answer)
    print(json.dumps(measure_acting(work, device, choose_shape(shape, device), model, dtype, seconds=seconds)))


def measure_acting(
    work: Work, device: str, shape: str, model: str | None, dtype: str, *, seconds: float
) -> dict[str, Any]:
    """Return the figures of the engine and of the other ways, and how many times as many episodes the engine plays."""
    source = resolve_weights(model) if model else SHAPES[shape]
    weights = select_dtype(dtype, device)
    work = replace(work, vocabulary=len(load_tokenizer(source)))
    acting = InProcessEngine(source, _Numbers(), dtype=weights, device=device, pad_id=0, context_length=work.length)
    run = _act(acting, work, seconds=_OURS_SHARE * seconds)
    acting.sleep()
    reference = load_model(source, dtype=weights, device=device)
    with torch.inference_mode():
        others = _others(reference, work, run, seconds=seconds)
    ours = _figures(work, run)
    result = {
        "benchmark": "engine",
        "model": model or shape,
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else device,
        "threads": torch.get_num_threads(),
        "dtype": str(weights).removeprefix("torch."),
        "episodes": work.episodes,
        "steps": len(run.writing),
        "tokens": {"opening": work.opening, "turn": work.turn, "answer": work.answer},
        "engine": ours,
        **others,
    }
    for name, figures in others.items():
        for mode in ("", "_choosing"):
            rate = f"episodes_per_minute{mode}"
            if rate in figures:
                result[f"{name}{mode}_ratio"] = round(ours[rate] / figures[rate], 2)
    return result


def _act(acting: InProcessEngine, work: Work, *, seconds: float) -> _Run:
    """Play the episodes with the engine, for as many steps as fit into ``seconds``."""
    _note("loading the model")
    acting.generate([Prompt(ids=work.shown(-1, 1), conversation="")], stop_ids=frozenset(), max_new_tokens=2)
    acting.retain([])
    run = _Run()
    histories: list[list[int]] = [[] for _ in range(work.episodes)]
    start = time.perf_counter()
    for step in range(work.steps):
        known = [len(history) for history in histories]
        histories = [[*history, *work.shown(episode, step)] for episode, history in enumerate(histories)]
        prompts = [Prompt(ids=history, conversation=str(number)) for number, history in enumerate(histories)]
        trees = [work.actions(episode, step) for episode in range(work.episodes)]
        run.prompts.append(histories)
        run.read_tokens.append(sum(len(history) for history in histories) - sum(known))
        write = partial(_write, acting, prompts)
        run.reading.append(_timed(write, 1)[0])
        run.choosing.append(_timed(acting.choose, prompts, trees)[0])
        writing, answers = _timed(write, work.answer)
        run.writing.append(writing)
        run.answers.append(answers)
        histories = [[*history, *map(int, text.split())] for history, text in zip(histories, answers, strict=True)]
        _note(f"engine: step {step + 1}, {run.reading[-1]:.2f} s reading, {writing:.2f} s writing")
        if time.perf_counter() - start > seconds:
            break
    return run


def _write(acting: InProcessEngine, prompts: Sequence[Prompt], count: int) -> list[str]:
    return [each.text for each in acting.generate(prompts, stop_ids=frozenset(), max_new_tokens=count)]


def _others(reference: PreTrainedModel, work: Work, run: _Run, *, seconds: float) -> dict[str, dict[str, Any]]:
    """Return the figures of transformers' ``generate``, one episode at a time and for many at once."""
    last = len(run.prompts) - 1
    spaced = sorted({round(last * part / (_SPACED_STEPS - 1)) for part in range(_SPACED_STEPS)})
    free: list[float] = []
    restricted: list[float] = []
    same: list[bool] = []
    start = time.perf_counter()
    for episode in range(work.episodes):
        for step in spaced:
            prompt = run.prompts[step][episode]
            took, written = _timed(_generate, reference, [prompt], work.answer)
            free.append(took)
            same.append(_Numbers().decode(written[0]) == run.answers[step][episode])
            restricted.append(_timed(_generate_along, reference, prompt, work.actions(episode, step))[0])
        _note(f"one at a time: episode {episode + 1}, {fmean(free):.2f} s a step")
        if time.perf_counter() - start > _OTHERS_SHARE * seconds:
            break
    steps = len(run.prompts)
    one = {
        "episodes_per_minute": round(60 / (fmean(free) * steps), 3),
        "episodes_per_minute_choosing": round(60 / (fmean(restricted) * steps), 3),
        "same_answers_share": round(fmean(same), 3),
    }
    count = max(1, min(work.episodes, int(_OTHERS_SHARE * seconds / fmean(free))))
    took, _ = _timed(_generate, reference, run.prompts[last // 2][:count], work.answer)
    batched = {"episodes": count, "episodes_per_minute": round(60 * count / (took * steps), 3)}
    return {"one_at_a_time": one, "transformers_batched": batched}


def _figures(work: Work, run: _Run) -> dict[str, float]:
    """Return the figures of the engine. Reading takes place in both modes, writing or choosing in one."""
    minutes = {
        mode: (sum(run.reading) + sum(seconds)) / 60
        for mode, seconds in (("", run.writing), ("_choosing", run.choosing))
    }
    return {
        **{f"episodes_per_minute{mode}": round(work.episodes / value, 3) for mode, value in minutes.items()},
        "reading_tokens_per_second": round(sum(run.read_tokens) / sum(run.reading), 1),
        "writing_tokens_per_second": round(work.episodes * work.answer / median(run.writing), 1),
        "choices_per_second": round(work.episodes / median(run.choosing), 1),
    }


def _generate(model: PreTrainedModel, prompts: Sequence[Sequence[int]], count: int, **how: object) -> list[list[int]]:
    """Return ``count`` tokens after each prompt, by transformers' ``generate`` on prompts padded at the left."""
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts], device=model.device)
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=model.device)
    written: list[list[int]] = model.generate(
        ids, attention_mask=mask, do_sample=False, max_new_tokens=count, eos_token_id=None, pad_token_id=0, **how
    )[:, longest:].tolist()
    return written


def _generate_along(model: PreTrainedModel, prompt: Sequence[int], tree: TokenTree) -> list[int]:
    """Return the likeliest sequence of ``tree`` after a prompt, by ``generate`` restricted to its tokens."""

    def allowed(_: int, ids: torch.Tensor) -> list[int]:
        place = ROOT
        for token in ids[len(prompt) :].tolist():
            place = tree.children(place)[token]
        return list(tree.children(place))

    return _generate(model, [prompt], _ACTION_TOKENS, prefix_allowed_tokens_fn=allowed)[0]


def _timed(work: Callable[..., Any], *arguments: object) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work(*arguments)
    return time.perf_counter() - start, result


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
