"""The token tree: token sequences that share their beginnings.

One structure serves acting (the admissible actions), scoring (several continuations of a conversation) and training (a
trajectory with the teacher's responses as branches).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

ROOT = -1
"""The place before the first token."""

_Nested = dict[int, "_Nested"]


@dataclass(frozen=True)
class TokenTree:
    """Tokens in preorder: each token comes after its parent, and everything below it follows without a gap.

    Attributes:
        tokens: The token ids.
        parents: The place of each token's parent, or ROOT.
    """

    tokens: tuple[int, ...]
    parents: tuple[int, ...]

    @classmethod
    def of(cls, sequences: Iterable[Sequence[int]]) -> "TokenTree":
        """Return the tree of ``sequences``; none may be the beginning of another (end each with a stop token)."""
        nested: _Nested = {}
        for sequence in sequences:
            node = nested
            for token in sequence:
                node = node.setdefault(token, {})
        tokens: list[int] = []
        parents: list[int] = []
        stack: list[tuple[int, Iterator[tuple[int, _Nested]]]] = [(ROOT, iter(nested.items()))]
        while stack:
            parent, children = stack[-1]
            for token, below in children:
                stack.append((len(tokens), iter(below.items())))
                tokens.append(token)
                parents.append(parent)
                break
            else:
                stack.pop()
        return cls(tuple(tokens), tuple(parents))

    def __len__(self) -> int:
        """Return the number of tokens."""
        return len(self.tokens)

    @cached_property
    def depths(self) -> tuple[int, ...]:
        """The number of tokens before each token in its sequence."""
        depths: list[int] = []
        for parent in self.parents:
            depths.append(0 if parent == ROOT else depths[parent] + 1)
        return tuple(depths)

    @cached_property
    def ends(self) -> tuple[int, ...]:
        """The place after the last token below each token: token j is in the past of token i if j <= i < ends[j]."""
        ends = list(range(1, len(self.tokens) + 1))
        for place in range(len(self.tokens) - 1, -1, -1):
            parent = self.parents[place]
            if parent != ROOT:
                ends[parent] = max(ends[parent], ends[place])
        return tuple(ends)

    def children(self, place: int) -> dict[int, int]:
        """Return the tokens that can follow the token at ``place`` (or ROOT), each with its own place."""
        return self._children[place + 1]

    def options(self, sequence: Sequence[int]) -> list[tuple[int, ...]]:
        """Return the tokens to choose from at each position of ``sequence``, one of the tree's sequences."""
        place = ROOT
        options = []
        for token in sequence:
            children = self.children(place)
            options.append(tuple(children))
            place = children[token]
        return options

    @cached_property
    def _children(self) -> list[dict[int, int]]:
        children: list[dict[int, int]] = [{} for _ in range(len(self.tokens) + 1)]
        for place, (token, parent) in enumerate(zip(self.tokens, self.parents, strict=True)):
            children[parent + 1][token] = place
        return children
