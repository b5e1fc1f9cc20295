"""Rows: token trees with the spans that are scored in them.

A row holds a whole trajectory. The student's own actions form its trunk, since they are the history of later steps.
Where the teacher decided otherwise, its response is a branch that later tokens do not see. So each step's prompt is
computed once, with the same result as one row per step.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from types import MappingProxyType

from leap_exp.core.types import Correction, Decision, View, views
from leap_exp.tokens.codec import PromptCodec
from leap_exp.tokens.tree import ROOT, TokenTree

NO_DECISIONS: Mapping[int, Decision] = MappingProxyType({})


class Role(StrEnum):
    """What a span is to an objective."""

    CHOSEN = "chosen"
    """The teacher's response."""
    REJECTED = "rejected"
    """The student's own response, at a step that the teacher changed."""
    OWN = "own"
    """The student's own response at any step, where it is compared with a teacher model."""
    TAUGHT = "taught"
    """The teacher's response, where the student is compared with a teacher model."""
    MISMATCHED = "mismatched"
    """A response that belongs to another step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The tokens of one response, to be scored in a token tree. Several spans may start at the same place.

    A token that has no alternative is certain and is left out. All tuples have one entry per scored token.

    Attributes:
        role: What the span is to an objective.
        step: Index of the step in its trajectory. A chosen and a rejected span of one step are a pair.
        places: Place in the tree after which the token is predicted.
        targets: Id of the token.
        options: Ids that it is chosen from; empty for the whole vocabulary.
        weight: Weight in the loss.
        reference: Log-probability (nats) of each token under a reference model; empty if there is none.
    """

    role: Role
    step: int
    places: tuple[int, ...]
    targets: tuple[int, ...]
    options: tuple[tuple[int, ...], ...]
    weight: float = 1.0
    reference: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A token tree with the spans to score in it.

    Attributes:
        task_id: The task that it is about.
        tree: The tokens.
        spans: What is scored.
        briefed: Rows with the spans that are compared with a teacher model, after prompts with the briefing.
    """

    task_id: str
    tree: TokenTree
    spans: tuple[Span, ...]
    briefed: tuple["Row", ...] = ()


def training_rows(
    correction: Correction,
    codec: PromptCodec,
    *,
    steps: frozenset[int] | None = None,
    roles: frozenset[Role] = frozenset({Role.CHOSEN}),
    mismatched: Mapping[int, Decision] = NO_DECISIONS,
) -> Iterator[Row]:
    """Yield the rows of a correction: one, or several if the prompt exceeds the length limit and drops turns.

    A row ends with its last scored token, and a row without scored tokens is left out.

    Args:
        correction: The corrected trajectory.
        codec: Encodes prompts and responses.
        steps: The steps to score; None for all.
        roles: The roles that the objective needs.
        mismatched: Decisions of other steps, by the step at which they are scored.
    """
    all_views = list(enumerate(views(correction.trajectory)))
    scored = frozenset(range(len(all_views))) if steps is None else steps
    for first_kept, group in groupby(all_views, key=lambda step: codec.first_kept(step[1])):
        part = list(group)
        last = max((index for index, _ in part if index in scored), default=-1)
        kept = [(index, view) for index, view in part if index <= last]
        if kept:
            row = _row(correction, codec, kept, first_kept, scored, roles, mismatched)
            if any(span.targets for span in row.spans):
                yield row


def choice_row(task_id: str, prompt_ids: Sequence[int], actions: Sequence[Sequence[int]], *, restricted: bool) -> Row:
    """Return a row that scores each of ``actions`` after a prompt, in one span per action and in their order.

    Args:
        task_id: The task that the prompt is about.
        prompt_ids: Token ids of the prompt.
        actions: Token ids of the actions; none may be the beginning of another.
        restricted: Whether a token's probability is its share among the tokens that ``actions`` have there.
    """
    tree = TokenTree.of(actions)
    builder = _RowBuilder()
    builder.extend_trunk(prompt_ids)
    places = builder.hang(tree, keep=_predicting(tree, actions, restricted=restricted))
    for index, ids in enumerate(actions):
        path = [builder.trunk_end]
        place = ROOT
        for token in ids[:-1]:
            place = tree.children(place)[token]
            path.append(places.get(place, ROOT))
        options = tree.options(ids) if restricted else [()] * len(ids)
        builder.score(Role.CHOSEN, index, path, ids, options)
    return builder.build(task_id)


def _predicting(tree: TokenTree, sequences: Sequence[Sequence[int]], *, restricted: bool) -> frozenset[int]:
    """The places of ``tree`` after which a token is scored, and all places before them."""
    needed: set[int] = set()
    for ids in sequences:
        path: list[int] = []
        last = 0
        for token in ids:
            children = tree.children(path[-1] if path else ROOT)
            if not restricted or len(children) > 1:
                last = len(path)
            path.append(children[token])
        needed.update(path[:last])
    return frozenset(needed)


def _row(
    correction: Correction,
    codec: PromptCodec,
    steps: Sequence[tuple[int, View]],
    first_kept: int,
    scored: frozenset[int],
    roles: frozenset[Role],
    mismatched: Mapping[int, Decision],
) -> Row:
    builder = _RowBuilder()
    builder.extend_trunk(codec.encode_prompt(steps[0][1], first_kept=first_kept))
    last_index = steps[-1][0]
    for index, view in steps:
        if index > steps[0][0]:
            builder.extend_trunk(codec.turn_ids(view))
        wanted = roles if index in scored else frozenset()
        own, teachers = correction.trajectory.steps[index].decision, correction.decisions[index]
        own_ids, teacher_ids = codec.response_ids(own), codec.response_ids(teachers)
        same = own_ids == teacher_ids
        teachers_roles = [role for role in (Role.CHOSEN, Role.TAUGHT) if role in wanted]
        if teachers_roles and not same:
            builder.branch(teachers_roles, index, teacher_ids, codec.response_options(view.observation, teachers))
        if Role.MISMATCHED in wanted and index in mismatched:
            other = mismatched[index]
            options = codec.response_options(view.observation, other)
            builder.branch([Role.MISMATCHED], index, codec.response_ids(other), options)
        on_trunk = _trunk_roles(wanted, same=same, changed=correction.changed[index])
        if on_trunk:
            options = codec.response_options(view.observation, teachers if same else own)
            if index == last_index and not same:
                builder.branch(on_trunk, index, own_ids, options)
            else:
                builder.respond(on_trunk, index, own_ids, options)
        elif index < last_index:
            builder.extend_trunk(own_ids[:-1])
        if index < last_index:
            builder.extend_trunk(codec.after_response_ids)
    return builder.build(correction.trajectory.task.id)


def _trunk_roles(wanted: frozenset[Role], *, same: bool, changed: bool) -> list[Role]:
    """Return which of the ``wanted`` roles the student's own response has."""
    has = {Role.CHOSEN: same, Role.TAUGHT: same, Role.REJECTED: changed and not same, Role.OWN: True}
    return [role for role, it_has in has.items() if it_has and role in wanted]


class _RowBuilder:
    """Builds a row token by token, in preorder: branches come before the trunk goes on."""

    def __init__(self) -> None:
        self._tokens: list[int] = []
        self._parents: list[int] = []
        self._spans: list[Span] = []
        self.trunk_end = ROOT

    def extend_trunk(self, ids: Sequence[int]) -> None:
        """Append what the student saw or did."""
        self.trunk_end = self._chain(ids)

    def respond(self, roles: Sequence[Role], step: int, ids: Sequence[int], options: Sequence[tuple[int, ...]]) -> None:
        """Append the student's own response to the trunk and score it in each of ``roles``."""
        start = self.trunk_end
        first = len(self._tokens)
        self.extend_trunk(ids[:-1])
        for role in roles:
            self.score(role, step, [start, *range(first, len(self._tokens))], ids, options)

    def branch(self, roles: Sequence[Role], step: int, ids: Sequence[int], options: Sequence[tuple[int, ...]]) -> None:
        """Hang a response on the trunk, up to its last scored token, and score it in each of ``roles``."""
        length = 1 + max((index for index, choice in enumerate(options) if len(choice) != 1), default=0)
        first = len(self._tokens)
        self._chain(ids[: length - 1])
        places = [self.trunk_end, *range(first, len(self._tokens))]
        for role in roles:
            self.score(role, step, places, ids[:length], options[:length])

    def hang(self, tree: TokenTree, *, keep: frozenset[int]) -> dict[int, int]:
        """Hang the tokens of ``tree`` at the places ``keep`` on the trunk; return their places in the row."""
        places = {ROOT: self.trunk_end}
        for place, (token, parent) in enumerate(zip(tree.tokens, tree.parents, strict=True)):
            if place in keep:
                places[place] = len(self._tokens)
                self._tokens.append(token)
                self._parents.append(places[parent])
        return places

    def score(
        self,
        role: Role,
        step: int,
        places: Sequence[int],
        targets: Sequence[int],
        options: Sequence[tuple[int, ...]],
    ) -> None:
        """Add a span; a token with one option is certain and is not scored."""
        scored = [entry for entry in zip(places, targets, options, strict=True) if len(entry[2]) != 1]
        self._spans.append(
            Span(
                role=role,
                step=step,
                places=tuple(place for place, _, _ in scored),
                targets=tuple(target for _, target, _ in scored),
                options=tuple(choice for _, _, choice in scored),
            )
        )

    def build(self, task_id: str) -> Row:
        """Return the row."""
        tree = TokenTree(tuple(self._tokens), tuple(self._parents))
        return Row(task_id=task_id, tree=tree, spans=tuple(self._spans))

    def _chain(self, ids: Sequence[int]) -> int:
        """Append ``ids`` one after the other behind the trunk; return the place of the last."""
        end = self.trunk_end
        for token in ids:
            self._parents.append(end)
            end = len(self._tokens)
            self._tokens.append(token)
        return end
