"""From prompts to decisions: free text, or one of the admissible actions."""

import copy
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from leap_exp.core.errors import EnvError
from leap_exp.core.types import QUERY_SLOT, Decision, DecisionFailure, Task, View
from leap_exp.students.config import HfStudentConfig
from leap_exp.students.thoughts import Thinker
from leap_exp.tokens.codec import PromptCodec
from leap_exp.tokens.engine import GREEDY, Engine, Generation, Prompt, Sampling
from leap_exp.tokens.parser import EMPTY_ACTION, THOUGHT_START, cut_off_action, is_unfinished
from leap_exp.tokens.renderer import REASON_FIELD


class Decoder:
    """Decides in many conversations at once, as ``student.decoding`` and ``student.reasons`` say.

    Args:
        codec: The student's prompts and responses.
        config: The student's settings.
        max_repeats: How often an action may be repeated on the same observation of a task; None for any number of
            times.
    """

    def __init__(
        self, codec: PromptCodec, config: HfStudentConfig, *, max_repeats: Callable[[Task], int] | None
    ) -> None:
        self._codec = codec
        self._config = config
        self._max_repeats = max_repeats
        self._sampling = Sampling(temperature=config.temperature, top_p=config.top_p, top_k=config.top_k)
        self._thinker = Thinker(codec, config) if config.thinking else None

    @property
    def thinks(self) -> bool:
        """Whether the student may think before it answers."""
        return self._config.decoding == "free" or self._thinker is not None

    def greedy(self) -> "Decoder":
        """Return this decoder without sampling."""
        decoder = copy.copy(self)
        decoder._sampling = GREEDY
        return decoder

    def decide(
        self, engine: Engine, views: Sequence[View], prompts: Sequence[Prompt]
    ) -> list[Decision | DecisionFailure]:
        """Return one decision per view, each continuing its prompt."""
        engine.retain([prompt.conversation for prompt in prompts])
        if self._thinker is None or not self._thinker.ends_with_token:
            return self._answer(engine, views, prompts, opened=self._codec.renderer.markup.opens_thoughts)
        decisions: dict[int, Decision | DecisionFailure] = {}
        ready: dict[int, Prompt] = {}
        for place, thought in enumerate(self._thinker.think(engine, prompts, self._sampling)):
            if isinstance(thought, DecisionFailure):
                decisions[place] = thought
            elif isinstance(thought, Generation) and self._config.decoding == "free":
                decisions[place] = self._read(thought, opened=False)
            else:
                ready[place] = thought if isinstance(thought, Prompt) else prompts[place]
        if ready:
            answers = self._answer(engine, [views[place] for place in ready], list(ready.values()), opened=False)
            decisions |= dict(zip(ready, answers, strict=True))
        return [decisions[place] for place in range(len(views))]

    def _answer(
        self, engine: Engine, views: Sequence[View], prompts: Sequence[Prompt], *, opened: bool
    ) -> list[Decision | DecisionFailure]:
        """Return one decision per view; the prompts end within thoughts if they are ``opened``."""
        reasons = self._config.reasons
        if self._config.decoding == "free":
            return [
                result if isinstance(result, DecisionFailure) else self._read(result, opened=opened)
                for result in self._continue(engine, prompts)
            ]
        decisions: dict[int, Decision | DecisionFailure] = {}
        written: dict[int, str] = {}
        for place, reason in enumerate(self._reasons(engine, prompts) if reasons else [""] * len(views)):
            if isinstance(reason, DecisionFailure):
                decisions[place] = reason
            else:
                written[place] = reason
        reasoned = [
            replace(prompts[place], ids=self.with_reason(prompts[place].ids, reason)) if reasons else prompts[place]
            for place, reason in written.items()
        ]
        actions = self._restricted_actions(engine, [views[place] for place in written], reasoned)
        for (place, reason), action in zip(written.items(), actions, strict=True):
            decisions[place] = action if isinstance(action, DecisionFailure) else Decision(reason=reason, action=action)
        return [decisions[place] for place in range(len(views))]

    def with_reason(self, prompt_ids: Sequence[int], reason: str) -> list[int]:
        """Return a prompt with the beginning of a response that gives ``reason``, up to the action."""
        return [*prompt_ids, *self._codec.text_ids(self._codec.renderer.reason_part(reason))]

    def _read(self, response: Generation, *, opened: bool) -> Decision:
        """Return the decision in a freely written response, which begins within thoughts if they are ``opened``."""
        markup = self._codec.renderer.markup
        text = f"{THOUGHT_START}{response.text}" if opened else response.text
        # What ends a response after one line also ends a command of several lines.
        cut_off = response.is_cut_off or (markup.ends_with_line and is_unfinished(response.text))
        return self._codec.renderer.read(text, cut_off=cut_off)

    def _continue(
        self, engine: Engine, prompts: Sequence[Prompt], *end_ids: int
    ) -> Sequence[Generation | DecisionFailure]:
        """Return what is generated after each prompt, up to the end of the response or one of ``end_ids``."""
        stop_ids = self._codec.stop_ids | set(end_ids)
        most = self._config.max_new_tokens
        if self._thinker is not None and not self._thinker.ends_with_token:
            most += self._config.max_thinking_tokens
        return engine.generate(prompts, stop_ids=stop_ids, max_new_tokens=most, sampling=self._sampling)

    def _written(
        self, engine: Engine, prompts: Sequence[Prompt], opening: Sequence[int], *end_ids: int
    ) -> Sequence[Generation | DecisionFailure]:
        """Return what is generated after each prompt and ``opening``."""
        return self._continue(engine, [replace(prompt, ids=[*prompt.ids, *opening]) for prompt in prompts], *end_ids)

    def _reasons(self, engine: Engine, prompts: Sequence[Prompt]) -> list[str | DecisionFailure]:
        """Return one reason per prompt: free text up to the end of the line."""
        line_end = self._codec.text_ids("\n")[-1]
        written = self._written(engine, prompts, self._codec.text_ids(REASON_FIELD), line_end)
        return [each if isinstance(each, DecisionFailure) else each.text.partition("\n")[0].strip() for each in written]

    def _restricted_actions(
        self, engine: Engine, views: Sequence[View], prompts: Sequence[Prompt]
    ) -> list[str | DecisionFailure]:
        """Return one admissible action per view, or its query action with a free query where there is one."""
        actions: dict[int, str | DecisionFailure] = {}
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

    def _queries(self, engine: Engine, prompts: Sequence[Prompt], query_action: str) -> list[str | DecisionFailure]:
        """Return ``query_action`` with a generated query in its slot."""
        before, _, after = query_action.partition(QUERY_SLOT)
        # The space before an action belongs to its first token, so a query without a beginning starts freely.
        opening = self._codec.text_ids(f" {before}") if before else ()
        written = self._written(engine, prompts, opening, *self._codec.text_ids(after)[:1])
        return [each if isinstance(each, DecisionFailure) else _query(each, query_action) for each in written]

    def _admissible_actions(
        self, engine: Engine, views: Sequence[View], prompts: Sequence[Prompt]
    ) -> list[str | DecisionFailure]:
        by_ids = [
            {self._codec.action_ids(action): action for action in self._selectable_actions(view)} for view in views
        ]
        trees = [self._codec.action_tree(list(actions.values())) for actions in by_ids]
        chosen = engine.choose(prompts, trees, sampling=self._sampling)
        return [
            ids if isinstance(ids, DecisionFailure) else actions[ids]
            for actions, ids in zip(by_ids, chosen, strict=True)
        ]

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
        taken = Counter(step.action for step in view.history if step.observation == view.observation)
        most = self._max_repeats(view.task)
        return [action for action in actions if taken[action] <= most] or actions


def _query(written: Generation, query_action: str) -> str:
    """Return ``query_action`` with what was ``written`` in its slot."""
    before, _, after = query_action.partition(QUERY_SLOT)
    query = (written.text.partition(after)[0] if after else written.text).strip().partition("\n")[0]
    if query_action == QUERY_SLOT and written.is_cut_off and "\n" not in written.text.strip():
        # Half a command must not be run; half a search does no harm.
        return cut_off_action(query)
    return f"{before}{query or EMPTY_ACTION}{after}"
