"""From prompts to decisions: free text, or one of the admissible actions."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from leap_exp.core.errors import EnvError, ProviderError
from leap_exp.core.types import QUERY_SLOT, Decision, DecisionFailure, View
from leap_exp.students.config import HfStudentConfig
from leap_exp.tokens.codec import PromptCodec
from leap_exp.tokens.engine import Engine, Prompt
from leap_exp.tokens.parser import EMPTY_ACTION, read_decision
from leap_exp.tokens.renderer import REASON_FIELD


class Decoder:
    """Decides in many conversations at once, as ``student.decoding`` and ``student.reasons`` say.

    Args:
        codec: The student's prompts and responses.
        config: The student's settings.
        max_repeats: How often an action may be repeated on the same observation; None for any number of times.
    """

    def __init__(self, codec: PromptCodec, config: HfStudentConfig, *, max_repeats: int | None) -> None:
        self._codec = codec
        self._config = config
        self._max_repeats = max_repeats

    def decide(
        self, engine: Engine, views: Sequence[View], prompts: Sequence[Prompt]
    ) -> list[Decision | DecisionFailure]:
        """Return one decision per view, each continuing its prompt."""
        engine.retain([prompt.conversation for prompt in prompts])
        reasons = self._config.reasons
        if self._config.decoding == "free":
            return [
                text if isinstance(text, DecisionFailure) else read_decision(text, reasons=reasons)
                for text in self._continue(engine, prompts)
            ]
        written = [""] * len(views)
        if reasons:
            written = self._reasons(engine, prompts)
            prompts = [
                replace(prompt, ids=self.with_reason(prompt.ids, reason))
                for prompt, reason in zip(prompts, written, strict=True)
            ]
        actions = self._restricted_actions(engine, views, prompts)
        return [Decision(reason=reason, action=action) for reason, action in zip(written, actions, strict=True)]

    def with_reason(self, prompt_ids: Sequence[int], reason: str) -> list[int]:
        """Return a prompt with the beginning of a response that gives ``reason``, up to the action."""
        return [*prompt_ids, *self._codec.text_ids(self._codec.renderer.reason_part(reason))]

    def _continue(self, engine: Engine, prompts: Sequence[Prompt], *end_ids: int) -> Sequence[str | DecisionFailure]:
        """Return what is generated after each prompt, up to the end of the response or one of ``end_ids``."""
        stop_ids = frozenset({self._codec.stop_id, *end_ids})
        return engine.generate(prompts, stop_ids=stop_ids, max_new_tokens=self._config.max_new_tokens)

    def _texts(self, engine: Engine, prompts: Sequence[Prompt], opening: Sequence[int], *end_ids: int) -> list[str]:
        """Return what is generated after each prompt and ``opening``."""
        opened = [replace(prompt, ids=[*prompt.ids, *opening]) for prompt in prompts]
        texts: list[str] = []
        for text in self._continue(engine, opened, *end_ids):
            if isinstance(text, DecisionFailure):
                raise ProviderError(text.error)
            texts.append(text)
        return texts

    def _reasons(self, engine: Engine, prompts: Sequence[Prompt]) -> list[str]:
        """Return one reason per prompt: free text up to the end of the line."""
        line_end = self._codec.text_ids("\n")[-1]
        texts = self._texts(engine, prompts, self._codec.text_ids(REASON_FIELD), line_end)
        return [text.partition("\n")[0].strip() for text in texts]

    def _restricted_actions(self, engine: Engine, views: Sequence[View], prompts: Sequence[Prompt]) -> list[str]:
        """Return one admissible action per view, or its query action with a free query where there is one."""
        actions: dict[int, str] = {}
        query_actions = [view.observation.query_action for view in views]
        for query_action in dict.fromkeys(query_actions):
            places = [place for place, other in enumerate(query_actions) if other == query_action]
            own_prompts = [prompts[place] for place in places]
            if query_action is None:
                written = self._admissible_actions(engine, [views[place] for place in places], own_prompts)
            else:
                written = self._queries(engine, own_prompts, query_action)
            actions |= dict(zip(places, written, strict=True))
        return [actions[place] for place in range(len(views))]

    def _queries(self, engine: Engine, prompts: Sequence[Prompt], query_action: str) -> list[str]:
        """Return ``query_action`` with a generated query in its slot."""
        before, _, after = query_action.partition(QUERY_SLOT)
        # The space before an action belongs to its first token, so a query without a beginning starts freely.
        opening = self._codec.text_ids(f" {before}") if before else ()
        texts = self._texts(engine, prompts, opening, *self._codec.text_ids(after)[:1])
        queries = [(text.partition(after)[0] if after else text).strip().partition("\n")[0] for text in texts]
        return [f"{before}{query or EMPTY_ACTION}{after}" for query in queries]

    def _admissible_actions(self, engine: Engine, views: Sequence[View], prompts: Sequence[Prompt]) -> list[str]:
        by_ids = [
            {self._codec.action_ids(action): action for action in self._selectable_actions(view)} for view in views
        ]
        trees = [self._codec.action_tree(list(actions.values())) for actions in by_ids]
        chosen = engine.choose(prompts, trees)
        return [actions[ids] for actions, ids in zip(by_ids, chosen, strict=True)]

    def _selectable_actions(self, view: View) -> Sequence[str]:
        """Return the admissible actions, without those that would loop if others are left."""
        actions = view.observation.admissible_actions
        if not actions:
            raise EnvError(
                f"{view.task.id} lists no admissible action, so student.decoding=admissible cannot choose one; set "
                "student.decoding=free."
            )
        if self._max_repeats is None:
            return actions
        taken = Counter(step.decision.action for step in view.history if step.observation == view.observation)
        return [action for action in actions if taken[action] <= self._max_repeats] or actions
