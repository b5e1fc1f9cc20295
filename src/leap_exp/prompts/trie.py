"""The admissible actions as a trie of tokens: what may come next while an action is written."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Trie:
    """The token sequences that may follow; one without children is an end."""

    children: dict[int, "Trie"] = field(default_factory=dict)

    @classmethod
    def of(cls, sequences: Iterable[Sequence[int]]) -> "Trie":
        """The trie of ``sequences``; none may be the beginning of another (an end token sees to that)."""
        root = cls()
        for sequence in sequences:
            node = root
            for token in sequence:
                node = node.children.setdefault(token, cls())
        return root

    def options(self, sequence: Sequence[int]) -> list[tuple[int, ...]]:
        """The tokens that may stand at each place of ``sequence``, which must be one of the trie's."""
        node, options = self, []
        for token in sequence:
            options.append(tuple(node.children))
            node = node.children[token]
        return options
