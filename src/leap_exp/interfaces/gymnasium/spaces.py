"""A text space over all of Unicode.

``gymnasium.spaces.Text`` holds a table with an entry per character, which for Unicode takes hundreds of megabytes.
"""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any, overload

import numpy as np
from gymnasium.spaces import Text, flatten, unflatten
from gymnasium.vector.utils import read_from_shared_memory
from numpy.typing import NDArray

_SURROGATES = range(0xD800, 0xE000)
"""Code points that are halves of characters in UTF-16 and no characters."""
_IS_SURROGATE = re.compile(r"[\ud800-\udfff]")


class _Characters(Sequence[str]):
    """All characters of Unicode in the order of their code points, without a table of them."""

    def __len__(self) -> int:
        return 0x110000 - len(_SURROGATES)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[str]: ...
    def __getitem__(self, place: int | slice) -> str | Sequence[str]:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        point = range(len(self))[place]
        return chr(point if point < _SURROGATES.start else point + len(_SURROGATES))

    def __contains__(self, value: object) -> bool:
        return isinstance(value, str) and len(value) == 1 and not _IS_SURROGATE.match(value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Characters)

    def __hash__(self) -> int:
        return hash(_Characters)


CHARACTERS = _Characters()
"""Sequence and set of all characters."""


class UnicodeText(Text):
    """All texts of up to ``max_length`` characters, the empty one included.

    Arrays that it flattens to hold the places of the characters in ``character_list``.
    """

    def __init__(self, max_length: int, seed: int | np.random.Generator | None = None) -> None:
        super().__init__(max_length, min_length=0, charset="", seed=seed)

    def sample(self, mask: Any = None, probability: Any = None) -> str:  # noqa: ANN401 - as in the base class
        """Return a random text; without a mask, all lengths and all characters are equally likely."""
        if mask is not None or probability is not None:
            return super().sample(mask, probability)
        length = self.np_random.integers(self.max_length + 1)
        return _text(self.np_random.integers(len(CHARACTERS), size=length, dtype=np.int32))

    def contains(self, x: Any) -> bool:  # noqa: ANN401 - as in the base class
        """Return whether ``x`` is a text of this space."""
        return isinstance(x, str) and len(x) <= self.max_length and not _IS_SURROGATE.search(x)

    def __repr__(self) -> str:
        """Return the bounds; the base class would list all characters."""
        return f"{type(self).__name__}({self.max_length})"

    @property
    def character_set(self) -> Any:  # noqa: ANN401 - a sequence that works as the set
        """All characters; not a frozenset, but with its membership test and length."""
        return CHARACTERS

    @property
    def character_list(self) -> Any:  # noqa: ANN401 - a sequence, where the base class has a tuple
        """All characters in order."""
        return CHARACTERS

    def character_index(self, char: str) -> np.int32:
        """Return the place of ``char`` in ``character_list``; raises ValueError if it is a surrogate."""
        return np.int32(_places(char)[0])

    @property
    def characters(self) -> str:
        """All characters in one text."""
        return _all_characters()


@cache
def _all_characters() -> str:
    return _text(np.arange(len(CHARACTERS), dtype=np.int32))


def _places(text: str) -> NDArray[np.int32]:
    """Return the place in ``CHARACTERS`` of each character of ``text``; raises ValueError if one is a surrogate."""
    points = np.frombuffer(text.encode("utf-32-le"), np.int32)
    return np.where(points < _SURROGATES.start, points, points - len(_SURROGATES)).astype(np.int32)


def _text(places: NDArray[np.int32]) -> str:
    """Return the characters at ``places``, the inverse of ``_places``."""
    points = np.where(places < _SURROGATES.start, places, places + len(_SURROGATES))
    return points.astype("<i4").tobytes().decode("utf-32-le")


class _SharedTexts(Sequence[str]):
    """The texts that shared memory holds now; a deep copy is a tuple of them."""

    def __init__(self, places: NDArray[np.int32]) -> None:
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[str]: ...
    def __getitem__(self, place: int | slice) -> str | Sequence[str]:
        return tuple(self)[place] if isinstance(place, slice) else _unpadded(self._places[place])

    def __deepcopy__(self, memo: object) -> tuple[str, ...]:
        return tuple(self)


def _unpadded(places: NDArray[np.int32]) -> str:
    return _text(places[places < len(CHARACTERS)])


# What Gymnasium does with a ``Text``, without looking at one character at a time, nor at one place of the padding.
@flatten.register
def _flatten(space: UnicodeText, x: str) -> NDArray[np.int32]:  # type: ignore[misc]  # it is a space of texts
    flat = np.full(space.max_length, len(CHARACTERS), dtype=np.int32)
    flat[: len(x)] = _places(x)
    return flat


@unflatten.register
def _unflatten(space: UnicodeText, x: NDArray[np.int32]) -> str:  # type: ignore[misc]  # noqa: ARG001 - as Gymnasium calls it
    return _unpadded(x)


@read_from_shared_memory.register  # type: ignore[arg-type]  # it returns a sequence that is no tuple
def _read_from_shared_memory(space: UnicodeText, shared_memory: Any, n: int = 1) -> Sequence[str]:  # noqa: ANN401 - a ctypes array with a lock
    """Return a view, because ``AsyncVectorEnv`` calls this once, and copies what it returns at every step."""
    flat = np.frombuffer(shared_memory.get_obj(), dtype=np.int32)
    return _SharedTexts(flat.reshape(n, space.max_length))
