"""A Hugging Face language model with a LoRA adapter as a student."""

import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from leap_exp.core.errors import EnvError
from leap_exp.core.types import QUERY_SLOT, Briefing, Correction, Decision, View
from leap_exp.prompts.briefed import BriefedCodec
from leap_exp.prompts.codec import PromptCodec
from leap_exp.prompts.markup import PLAIN_MARKUP, chat_markup
from leap_exp.prompts.parse import NOTHING_WRITTEN, read_decision
from leap_exp.prompts.render import REASON_FIELD, Renderer
from leap_exp.prompts.trie import Trie
from leap_exp.students.acting import ActingWeights, Adapters
from leap_exp.students.decoding import choose, generate, likelihoods
from leap_exp.students.varlen import ConversationCache
from leap_exp.students.weights import load_model, load_tokenizer, resolve_weights
from leap_exp.train.examples import IGNORED, training_rows
from leap_exp.train.packing import collate, target_logprobs

Format = Literal["chat", "plain"]
Decoding = Literal["free", "admissible"]

_LONGEST_EAGER_ROW = 600
"""Tokens up to which plain matrix products train faster on a processor than the fused kernel, whose backward pass is
slow there: by up to 14 % on rows of 200 to 500 tokens; at 900 the fused one is faster by 15 %, at 1,300 by 89 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraSettings:
    """A LoRA adapter on all linear layers but the head."""

    r: int
    alpha: int
    dropout: float
    top_layers: int | None
    """How many layers, counted from the head, carry the adapter; None for all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HfSettings:
    """What a student is made from and how it acts; see the schema of the ``student`` group for each field."""

    model: str
    environment: str
    format: Format
    decoding: Decoding
    revisits: int | None
    """How often an action may be taken again on the same observation; None for any number of times."""
    reasons: bool
    list_actions: bool
    condense: bool
    remind: bool
    context_length: int
    max_new_tokens: int
    dtype: torch.dtype
    device: str
    lora: LoraSettings


class HfStudent:
    """Acts with its adapter merged into the weights, many episodes at once; is trained with the adapter apart."""

    def __init__(self, settings: HfSettings, *, policy_id: str, adapter: Path | None = None) -> None:
        self.id = policy_id
        self.settings = settings
        self._adapters: Adapters = () if adapter is None else ((adapter, 1.0),)
        self._source = resolve_weights(settings.model)
        self._acting = ActingWeights(self._source, dtype=settings.dtype, device=settings.device)

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The base model's tokenizer."""
        return load_tokenizer(self._source)

    @cached_property
    def codec(self) -> PromptCodec:
        """The prompts of this student, as token ids."""
        tokenizer = self.tokenizer
        if self.settings.format == "plain":
            markup = PLAIN_MARKUP
        else:
            markup = chat_markup(lambda messages: str(tokenizer.apply_chat_template(messages, tokenize=False)))
        renderer = Renderer(
            environment=self.settings.environment,
            markup=markup,
            reasons=self.settings.reasons,
            list_actions=self.settings.list_actions,
            condense=self.settings.condense,
            remind=self.settings.remind,
        )

        def encode(text: str) -> list[int]:
            return list(tokenizer(text, add_special_tokens=False)["input_ids"])

        longest_prompt = self.settings.context_length - self.settings.max_new_tokens
        return PromptCodec(
            renderer, encode, context_length=longest_prompt, restricted=self.settings.decoding == "admissible"
        )

    @property
    def pad_id(self) -> int:
        """A token for the places that no other token looks at."""
        return self.codec.stop_id

    def load(self, folder: Path, *, policy_id: str) -> Self:
        """This student with the adapter in ``folder``."""
        return self._with_adapters(((folder, 1.0),), policy_id)

    def averaged(self, students: Sequence[Self], shares: Sequence[float], *, policy_id: str) -> Self:
        """A student, not to be trained, whose weights are the mean of those of ``students``, weighted by ``shares``.

        All are of one base model, so that the mean of their weights is the base with the adapters' changes in shares.
        """
        adapters: dict[Path, float] = {}
        for student, share in zip(students, shares, strict=True):
            for folder, part in student._adapters:
                adapters[folder] = adapters.get(folder, 0.0) + share * part
        return self._with_adapters(tuple(adapters.items()), policy_id)

    def _with_adapters(self, adapters: Adapters, policy_id: str) -> Self:
        student = copy.copy(self)
        student.id = policy_id
        student._adapters = adapters
        return student

    def trainable_model(self, *, row_tokens: float) -> PeftModel:
        """Fresh base weights with this student's adapter apart and ready to train; a new adapter if it has none.

        ``row_tokens`` is how long the rows to train on are; it decides how attention is computed, not what.
        """
        self._acting.free()
        base = load_model(self._source, dtype=self.settings.dtype, device=self.settings.device)
        if self.settings.device == "cpu" and row_tokens <= _LONGEST_EAGER_ROW:
            base.set_attn_implementation("eager")
        if self._adapters:
            ((folder, _),) = self._adapters
            return PeftModel.from_pretrained(base, str(folder), is_trainable=True)
        lora = self.settings.lora
        layers = base.config.get_text_config().num_hidden_layers
        config = LoraConfig(
            r=lora.r,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules=_linear_modules(base),
            layers_to_transform=None if lora.top_layers is None else list(range(layers - lora.top_layers, layers)),
            task_type="CAUSAL_LM",
        )
        return get_peft_model(base, config)

    @property
    def _model(self) -> PreTrainedModel:
        """The weights to act with: the adapter merged in."""
        return self._acting.model(self._adapters)

    def act(self, views: Sequence[View], *, seed: int) -> list[Decision]:  # noqa: ARG002  decoding is greedy
        """One decision a view.

        A response that holds no action becomes, whole, an inadmissible action.
        """
        return self._decide(views, self._prompts(views))

    def advise(self, views: Sequence[View], briefings: Sequence[Briefing]) -> list[Decision]:
        """One decision a view, taken as ``act`` does but with a briefing in the prompt: for a teacher, never to act."""
        return self._decide(views, self._briefed_prompts(views, briefings))

    def _prompts(self, views: Sequence[View]) -> list[list[int]]:
        return [self.codec.prompt_ids(view) for view in views]

    def _briefed_prompts(self, views: Sequence[View], briefings: Sequence[Briefing]) -> list[list[int]]:
        briefed = BriefedCodec(self.codec)
        return list(map(briefed.prompt_ids, views, briefings))

    def _decide(self, views: Sequence[View], prompts: list[list[int]]) -> list[Decision]:
        caches = self._conversation_caches(views)
        if self.settings.decoding == "free":
            return [read_decision(text, reasons=self.settings.reasons) for text in self._generate(caches, prompts)]
        reasons = [""] * len(views)
        if self.settings.reasons:
            reasons = self._reasons(caches, prompts)
            prompts = self._with_reasons(prompts, reasons)
        actions = self._restricted_actions(caches, prompts, views)
        return [Decision(reason=reason, action=action) for reason, action in zip(reasons, actions, strict=True)]

    def logprobs(self, corrections: Sequence[Correction]) -> list[float]:
        """Log-probability (nats) of the teacher's response at each step, corrections and steps in order."""
        values: list[float] = []
        for correction in corrections:
            sums = [0.0] * len(correction.decisions)
            for row in training_rows(correction, self.codec):
                batch = collate([row], pad_id=self.pad_id, dtype=self.settings.dtype)
                targets_T, options_TK = batch.pop("shift_labels")[0], batch.pop("options")[0]
                places = (targets_T != IGNORED).nonzero()[:, 0]
                with torch.inference_mode():
                    logits_TV = self._model(
                        **{name: tensor.to(self._model.device) for name, tensor in batch.items()},
                        use_cache=False,
                        logits_to_keep=places.to(self._model.device),
                    ).logits[0]
                logprobs_T = target_logprobs(logits_TV.cpu(), targets_T[places], options_TK[places])
                for place, logprob in zip(places.tolist(), logprobs_T.tolist(), strict=True):
                    sums[row.steps[place]] += logprob
            values += sums
        return values

    def action_logprobs(
        self,
        views: Sequence[View],
        actions: Sequence[Sequence[str]],
        *,
        reasons: Sequence[str],
        briefings: Sequence[Briefing] | None = None,
    ) -> list[dict[str, float]]:
        """Log-probability (nats) of each of a view's ``actions``, after the view's reason if the student gives reasons.

        Normalised as in training: where the student chooses among the admissible actions and all that are asked about
        are listed, it is their probability among those, else among all texts. With ``briefings`` in its prompts it is
        what the student finds as its own teacher.
        """
        codec = self.codec
        prompts = self._prompts(views) if briefings is None else self._briefed_prompts(views, briefings)
        if self.settings.reasons:
            prompts = self._with_reasons(prompts, reasons)
        restricted, tries = [], []
        for view, asked in zip(views, actions, strict=True):
            listed = view.observation.admissible_actions or ()
            restricted.append(codec.restricted and set(asked) <= set(listed))
            tries.append(Trie.of(map(codec.action_ids, listed if restricted[-1] else asked)))
        found = likelihoods(self._model, self._conversation_caches(views), prompts, tries, restricted=restricted)
        return [
            {action: values[codec.action_ids(action)] for action in asked}
            for values, asked in zip(found, actions, strict=True)
        ]

    def _with_reasons(self, prompts: Sequence[list[int]], reasons: Sequence[str]) -> list[list[int]]:
        """``prompts`` and the responses that begin with ``reasons``, up to the action."""
        return [
            [*prompt, *self.codec.text_ids(self.codec.renderer.reason_part(reason))]
            for prompt, reason in zip(prompts, reasons, strict=True)
        ]

    def _conversation_caches(self, views: Sequence[View]) -> list[ConversationCache]:
        """The cache of each view's episode; those of episodes that have ended are dropped."""
        model = self._model
        seen: Counter[str] = Counter()
        keys = []
        for view in views:
            keys.append((view.task.id, seen[view.task.id]))
            seen[view.task.id] += 1
        read = self._acting.caches
        self._acting.caches = {key: read.get(key) or ConversationCache(model) for key in keys}
        return list(self._acting.caches.values())

    def _generate(self, caches: Sequence[ConversationCache], prompts: Sequence[list[int]], *end_ids: int) -> list[str]:
        """What is written freely after each prompt, up to the end of the response or one of ``end_ids``."""
        written = generate(
            self._model,
            caches,
            prompts,
            stop_ids=frozenset({self.codec.stop_id, *end_ids}),
            max_new_tokens=self.settings.max_new_tokens,
        )
        return [str(self.tokenizer.decode(tokens)) for tokens in written]

    def _reasons(self, caches: Sequence[ConversationCache], prompts: Sequence[list[int]]) -> list[str]:
        """A reason a prompt: what is written freely up to the end of the line."""
        opening = self.codec.text_ids(REASON_FIELD)
        line_end = self.codec.text_ids("\n")[-1]
        texts = self._generate(caches, [[*prompt, *opening] for prompt in prompts], line_end)
        return [text.partition("\n")[0].strip() for text in texts]

    def _restricted_actions(
        self, caches: Sequence[ConversationCache], prompts: Sequence[list[int]], views: Sequence[View]
    ) -> list[str]:
        """One of the admissible actions for each view; where one takes a query, that one with the model's own words."""
        actions: dict[int, str] = {}
        query_actions = [view.observation.query_action for view in views]
        for query_action in dict.fromkeys(query_actions):
            places = [place for place, other in enumerate(query_actions) if other == query_action]
            its_caches, its_prompts = [caches[place] for place in places], [prompts[place] for place in places]
            if query_action is None:
                written = self._admissible_actions(its_caches, its_prompts, [views[place] for place in places])
            else:
                written = self._queries(its_caches, its_prompts, query_action)
            actions |= dict(zip(places, written, strict=True))
        return [actions[place] for place in range(len(views))]

    def _queries(
        self, caches: Sequence[ConversationCache], prompts: Sequence[list[int]], query_action: str
    ) -> list[str]:
        """``query_action`` with what the model writes in its query's place, up to what stands after it."""
        before, _, after = query_action.partition(QUERY_SLOT)
        # The blank before an action is part of its first token, so a text alone is begun by the model.
        opening = self.codec.text_ids(f" {before}") if before else ()
        texts = self._generate(caches, [[*prompt, *opening] for prompt in prompts], *self.codec.text_ids(after)[:1])
        queries = [(text.partition(after)[0] if after else text).strip().partition("\n")[0] for text in texts]
        return [f"{before}{query or NOTHING_WRITTEN}{after}" for query in queries]

    def _admissible_actions(
        self, caches: Sequence[ConversationCache], prompts: Sequence[list[int]], views: Sequence[View]
    ) -> list[str]:
        by_ids: list[dict[tuple[int, ...], str]] = []
        for view in views:
            if not view.observation.admissible_actions:
                raise EnvError(
                    f"{view.task.id} admits no action, so student.decoding=admissible has nothing to choose from; take "
                    "student.decoding=free."
                )
            actions = view.observation.admissible_actions
            if self.settings.revisits is not None:
                actions = _without_loops(view, self.settings.revisits) or actions
            by_ids.append({self.codec.action_ids(action): action for action in actions})
        written = choose(self._model, caches, prompts, [Trie.of(options) for options in by_ids])
        return [options[tuple(ids)] for options, ids in zip(by_ids, written, strict=True)]


def _without_loops(view: View, revisits: int) -> tuple[str, ...]:
    """The admissible actions taken at most ``revisits`` times on this very observation: a greedy policy's way on."""
    taken = Counter(step.decision.action for step in view.history if step.observation == view.observation)
    return tuple(action for action in view.observation.admissible_actions or () if taken[action] <= revisits)


def _linear_modules(model: PreTrainedModel) -> list[str]:
    """The names of a model's linear modules within its layers."""
    names = {name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    return sorted({name.rpartition(".")[2] for name in names if ".layers." in name})
