"""A Hugging Face language model with a LoRA adapter as a student."""

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import torch
from peft import PeftModel
from transformers import PreTrainedModel

from leap_exp.core.environments import Environment
from leap_exp.core.errors import ConfigError
from leap_exp.core.types import Briefing, Correction, Decision, DecisionFailure, View
from leap_exp.students.adapters import adapter_rank, check_adapter, lora_config
from leap_exp.students.api import decision_seed
from leap_exp.students.config import HfStudentConfig, VllmStudentConfig
from leap_exp.students.decoder import Decoder
from leap_exp.students.engines.in_process import InProcessEngine
from leap_exp.students.engines.vllm import VllmEngine
from leap_exp.students.engines.vllm_server import Serving
from leap_exp.students.prompts import build_codec
from leap_exp.students.quantized import check_quantization
from leap_exp.students.serving import serve_command
from leap_exp.students.trainable import StudentWeights
from leap_exp.students.weights import load_tokenizer, resolve_weights, select_device, select_dtype
from leap_exp.tokens.briefed import BriefedCodec
from leap_exp.tokens.codec import PromptCodec
from leap_exp.tokens.engine import Adapters, Engine, Prompt, TrainableStudent
from leap_exp.tokens.scoring import Score
from leap_exp.tokens.spans import Row, choice_row, training_rows


class HfStudent(TrainableStudent):
    """Acts through an engine with its adapter merged in; is trained in this process with the adapter separate.

    Students of one base model share their engines, so only one of them has its weights in memory at a time.

    Args:
        config: The student's settings.
        environment: The environment that it acts in.

    Attributes:
        codec: Its prompts and responses as token ids.
    """

    codec: PromptCodec

    def __init__(self, config: HfStudentConfig, environment: Environment) -> None:
        self.config = config
        self.source = resolve_weights(config.model)
        self.device = select_device(config.device)
        self.dtype = select_dtype(config.dtype, self.device)
        if config.quantization is not None:
            check_quantization(config.quantization, model=config.model, device=self.device)
        self.tokenizer = load_tokenizer(self.source)
        self.codec = build_codec(config, environment, self.tokenizer, source=self.source)
        self.id = Path(config.model).name
        max_repeats = environment.max_repeats_of if config.avoid_repeats else None
        self._decoder = Decoder(self.codec, config, max_repeats=max_repeats)
        self._adapters: Adapters = ((Path(config.adapter), 1.0),) if config.adapter else ()
        self._local = InProcessEngine(
            self.source,
            self.tokenizer,
            dtype=self.dtype,
            device=self.device,
            pad_id=self.pad_id,
            context_length=config.context_length,
            quantization=config.quantization,
        )
        modules = self._local.facts.modules
        if config.adapter:
            check_adapter(Path(config.adapter), modules, model=config.model)
        else:
            lora_config(config.lora, modules)
        self._acting: Engine = self._local
        # Shared by the copies of this student.
        self._tokens: Counter[str] = Counter()

    @property
    def pad_id(self) -> int:
        """A token for padding, which no other token attends to."""
        return self.codec.stop_id

    @property
    def one_pass(self) -> bool:
        """Whether the model scores all branches of a row in one pass; otherwise each is a sequence of its own."""
        return self._local.facts.method.one_pass

    @property
    def concurrency(self) -> int:  # type: ignore[override]  # the base class has a variable
        """How many views it takes at a time, one by one; 0 if it decides in batches."""
        return self._acting.concurrency

    @property
    def local(self) -> Self:
        """The same student, acting in this process."""
        return self.acting_through(self._local)

    def acting_through(self, engine: Engine) -> Self:
        """Return this student with ``engine`` generating its actions; scoring and training stay in this process."""
        student = copy.copy(self)
        student._acting = engine
        return student

    @property
    def greedy(self) -> Self:
        """The same student, taking the likeliest tokens."""
        student = copy.copy(self)
        student._decoder = self._decoder.greedy()
        return student

    def load(self, folder: Path, *, policy_id: str) -> Self:
        """Return this student with the adapter in ``folder``.

        Raises:
            ConfigError: There is no adapter, or it does not fit the model.
        """
        check_adapter(folder, self._local.facts.modules, model=self.config.model)
        return self._with_adapters(((folder, 1.0),), policy_id)

    def averaged(self, students: Sequence[Self], weights: Sequence[float], *, policy_id: str) -> Self:
        """Return a student, not for training, whose weights are the weighted mean of those of ``students``.

        All share one base model, so their mean is the base with each adapter's change at its weight.
        """
        adapters: dict[Path, float] = {}
        for student, weight in zip(students, weights, strict=True):
            for folder, part in student._adapters:
                adapters[folder] = adapters.get(folder, 0.0) + weight * part
        return self._with_adapters(tuple(adapters.items()), policy_id)

    def _with_adapters(self, adapters: Adapters, policy_id: str) -> Self:
        student = copy.copy(self)
        student.id = policy_id
        student._adapters = adapters
        return student

    def weights(self) -> StudentWeights:
        """Return what loads this student's weights, after freeing the memory of those that it acts with."""
        self._local.sleep()
        self._acting.sleep()
        return StudentWeights(
            engine=self._local,
            source=self.source,
            dtype=self.dtype,
            device=self.device,
            adapters=self._adapters,
            lora=self.config.lora,
            quantization=self.config.quantization,
            pad_id=self.pad_id,
        )

    def trainable_model(self) -> PeftModel:
        """Return the base model with this student's adapter on top, ready to train; a new adapter if it has none."""
        return self.weights().trainable_model()

    def frozen_model(self) -> PreTrainedModel:
        """Return a copy of the model with this student's adapters merged in, to compare another one with."""
        return self.weights().frozen_model()

    def with_model(self, model: str) -> Self:
        """Return a student with the same prompts that computes with the weights of ``model``, without an adapter.

        Raises:
            ConfigError: Its vocabulary is another one, or its branches cannot be scored in the same way.
        """
        other = copy.copy(self)
        other.source = resolve_weights(model)
        if load_tokenizer(other.source).get_vocab() != self.tokenizer.get_vocab():
            raise ConfigError(f"The model {model!r} has another vocabulary than {self.config.model!r}.")
        other._adapters = ()
        other._local = self._local.with_source(other.source)
        if other.one_pass != self.one_pass:
            raise ConfigError(f"The model {model!r} cannot score branches in the same way as {self.config.model!r}.")
        return other

    def act(self, views: Sequence[View], *, seed: int) -> list[Decision | DecisionFailure]:
        """Return one decision per view.

        A response without an action, or one that was cut off, becomes an inadmissible action.
        """
        if self._acting is not self._local:
            # The server may need the memory.
            self._local.sleep()
        prompts = [self.codec.prompt_ids(view, thinking=self._decoder.thinks) for view in views]
        decisions = self._decide(self._acting, views, prompts, seed=seed)
        self._tokens["tokens_in_count"] += sum(map(len, prompts))
        self._tokens["tokens_out_count"] += sum(
            len(self.codec.response_ids(each)) for each in decisions if isinstance(each, Decision)
        )
        return decisions

    def advise(self, views: Sequence[View], briefings: Sequence[Briefing]) -> list[Decision]:
        """Return one decision per view, as ``greedy`` takes it but with a briefing in the prompt: for teaching only."""
        prompts = self._briefed_prompts(views, briefings, thinking=self._decoder.thinks)
        decisions = self.greedy._decide(self._local, views, prompts, seed=0)
        return [decision for decision in decisions if isinstance(decision, Decision)]

    def score(self, rows: Sequence[Row]) -> Sequence[Score]:
        """Return the scores of ``rows`` under this student's weights, computed in this process."""
        self._local.load_adapter(self._adapters)
        return self._local.score(rows)

    def logprobs(self, corrections: Sequence[Correction]) -> list[float]:
        """Return the log-probability (nats) of the teacher's response at each step, corrections and steps in order."""
        values: list[float] = []
        for correction in corrections:
            totals = [0.0] * len(correction.decisions)
            rows = list(training_rows(correction, self.codec))
            for row, score in zip(rows, self.score(rows), strict=True):
                for index, span in enumerate(row.spans):
                    totals[span.step] = score.total(index)
            values += totals
        return values

    def action_logprobs(
        self,
        views: Sequence[View],
        actions: Sequence[Sequence[str]],
        *,
        reasons: Sequence[str],
        briefings: Sequence[Briefing] | None = None,
    ) -> list[dict[str, float]]:
        """Return the log-probability (nats) of each of a view's ``actions``, given the view's reason.

        Normalised as in training: among the admissible actions if the student chooses among those and all of
        ``actions`` are admissible, else among all texts. With ``briefings`` in the prompts it is what the student
        computes as its own teacher.
        """
        codec = self.codec
        prompts = [codec.prompt_ids(v) for v in views] if briefings is None else self._briefed_prompts(views, briefings)
        if self.config.reasons:
            prompts = [self._decoder.with_reason(ids, reason) for ids, reason in zip(prompts, reasons, strict=True)]
        rows, scored_actions = [], []
        for view, prompt, asked in zip(views, prompts, actions, strict=True):
            listed = view.observation.admissible_actions or ()
            restricted = codec.restricted and set(asked) <= set(listed)
            scored = list(dict.fromkeys(listed if restricted else asked))
            ids = list(map(codec.action_ids, scored))
            rows.append(choice_row(view.task.id, prompt, ids, restricted=restricted))
            scored_actions.append(scored)
        names = conversations(views)
        self._local.load_adapter(self._adapters)
        self._local.retain(names)
        scores = self._local.score(rows, conversations=names)
        return [
            {action: score.total(scored.index(action)) for action in asked}
            for score, scored, asked in zip(scores, scored_actions, actions, strict=True)
        ]

    def action_lengths(self, actions: Sequence[str]) -> list[int]:
        """Return the number of tokens of each action, the one that ends it included."""
        return [len(self.codec.action_ids(action)) for action in actions]

    def usage(self) -> Mapping[str, float]:
        """Return the tokens of prompts and answers since the last call, as a server counts them if there is one."""
        tokens = dict(self._tokens)
        self._tokens.clear()
        return {**tokens, **self._acting.usage()}

    def _briefed_prompts(
        self, views: Sequence[View], briefings: Sequence[Briefing], *, thinking: bool = False
    ) -> list[list[int]]:
        briefed = BriefedCodec(self.codec)
        return [
            briefed.prompt_ids(view, briefing, thinking=thinking)
            for view, briefing in zip(views, briefings, strict=True)
        ]

    def _decide(
        self, engine: Engine, views: Sequence[View], prompts: Sequence[Sequence[int]], *, seed: int
    ) -> list[Decision | DecisionFailure]:
        engine.load_adapter(self._adapters)
        seeds = [decision_seed(view, seed) for view in views]
        named = zip(prompts, conversations(views), seeds, strict=True)
        return self._decoder.decide(
            engine, views, [Prompt(ids=ids, conversation=name, seed=own) for ids, name, own in named]
        )


def vllm_student(config: VllmStudentConfig, environment: Environment) -> HfStudent:
    """Return a student that acts through a vLLM server, which is started here if need be.

    Raises:
        ProviderError: No server answers, and none can be started.
    """
    student = HfStudent(config, environment)
    student._local.sleep()
    rank = max(config.lora.r, adapter_rank(Path(config.adapter)) if config.adapter else 0)
    devices = torch.cuda.device_count() if student.device.startswith("cuda") else 0
    quantized = ("--quantization", "bitsandbytes") if config.quantization else ()
    servings = [
        Serving(
            command=serve_command(
                student.source,
                endpoint,
                dtype=str(student.dtype).removeprefix("torch."),
                rank=rank,
                context_length=config.context_length,
                memory_share=config.memory_share,
                options=[*quantized, *(config.serve_args or ())],
            ),
            may_start=config.serve,
            rank=rank,
            context_length=config.context_length,
            sleeps=student.device.startswith("cuda"),
            device=index % devices if devices and config.endpoint.base_urls else None,
        )
        for index, endpoint in enumerate(config.endpoint.replicas)
    ]
    return student.acting_through(VllmEngine(config.endpoint, servings))


def conversations(views: Sequence[View]) -> list[str]:
    """Return a name for each view's conversation: its task and sample, with a number for several views of one."""
    seen: Counter[tuple[str, int]] = Counter()
    names = []
    for view in views:
        episode = view.task.id, view.sample
        names.append(f"{view.task.id}#{view.sample}#{seen[episode]}")
        seen[episode] += 1
    return names
