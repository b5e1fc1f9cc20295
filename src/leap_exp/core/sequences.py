"""Sequences whose items are made when they are asked for, so that records on disk are not held in memory."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TypeVar, overload

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class LazySequence(Sequence[T_co]):
    """A sequence that makes an item each time it is used. It equals any sequence with equal items."""

    __hash__ = None  # type: ignore[assignment]

    @abstractmethod
    def item(self, place: int) -> T_co:
        """Return the item at ``place``, which is in the sequence."""

    @overload
    def __getitem__(self, place: int) -> T_co: ...

    @overload
    def __getitem__(self, place: slice) -> list[T_co]: ...

    def __getitem__(self, place: int | slice) -> T_co | list[T_co]:
        """Return an item, or the items of a slice as a list."""
        if isinstance(place, slice):
            return [self.item(index) for index in range(*place.indices(len(self)))]
        index = place + len(self) if place < 0 else place
        if not 0 <= index < len(self):
            raise IndexError(f"There is no item {place} among {len(self)}.")
        return self.item(index)

    def __iter__(self) -> Iterator[T_co]:
        """Make one item after the other."""
        return (self.item(place) for place in range(len(self)))

    def __eq__(self, other: object) -> bool:
        """Return whether ``other`` is a sequence of equal items."""
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(mine == its for mine, its in zip(self, other, strict=True))


class Selected(LazySequence[T]):
    """Some items of other sequences, in a given order.

    Args:
        sources: The sequences.
        places: For each item, the index of its sequence and its place there.
    """

    def __init__(self, sources: Sequence[Sequence[T]], places: Sequence[tuple[int, int]]) -> None:
        self._sources = sources
        self._places = places

    @classmethod
    def of(cls, source: Sequence[T], places: Sequence[int]) -> "Selected[T]":
        """Return the items of one sequence at ``places``."""
        return cls([source], [(0, place) for place in places])

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self._places)

    def item(self, place: int) -> T:
        """Return the item at ``place``."""
        source, inner = self._places[place]
        return self._sources[source][inner]
