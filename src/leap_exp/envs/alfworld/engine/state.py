"""What a game consists of: the scene, which never changes, and the state, which does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self


class Receptacle(NamedTuple):
    """A place that holds objects. A game makes many, and named tuples take a third of the time of dataclasses.

    Attributes:
        index: Its index among the receptacles.
        id: Its name in the game file.
        name: The name that players see, such as "cabinet 1".
        rtype: Its type in the game file, such as "cabinettype".
        location: Index of the location from which it is used.
        openable: Whether it can be opened and closed.
        opened_at_start: Whether it is open at the start.
    """

    index: int  # type: ignore[assignment]  # Nobody needs the method of tuples.
    id: str
    name: str
    rtype: str
    location: int
    openable: bool
    opened_at_start: bool

    @property
    def kind(self) -> str:
        """The first word of the name."""
        return self.name.rpartition(" ")[0]


class Object(NamedTuple):
    """A thing in a receptacle or in the agent's hand; fields as in ``Receptacle``, ``otype`` such as "mugtype"."""

    index: int  # type: ignore[assignment]  # Nobody needs the method of tuples.
    id: str
    name: str
    otype: str

    @property
    def kind(self) -> str:
        """The first word of the name."""
        return self.name.rpartition(" ")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """The initial values of what a ``State`` holds."""

    location: int
    held: int
    contents: tuple[tuple[int, ...], ...]
    objects_at: tuple[tuple[int, ...], ...]
    flags: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scene:
    """The static part of a game. Receptacles, objects and locations are numbered in the order of their ids.

    Attributes:
        id: Name of the game, for messages.
        task_text: The task sentence with its prefix, "Your task is to: put a mug in cabinet.".
        receptacles: All receptacles.
        objects: All objects.
        members: The objects of each ("objecttype", otype) and the receptacles of each ("receptacletype", rtype).
        can_contain: Which (rtype, otype) pairs go together.
        receptacles_at: The receptacles at each location.
        inside: The objects inside each movable container. No action changes them.
        flags: Static properties, such as "openable", as bit masks over the indices.
        start: The initial state.
    """

    id: str
    task_text: str
    receptacles: tuple[Receptacle, ...]
    objects: tuple[Object, ...]
    members: Mapping[tuple[str, str], Sequence[int]]
    can_contain: frozenset[tuple[str, str]]
    receptacles_at: tuple[tuple[int, ...], ...]
    inside: tuple[tuple[int, ...], ...]
    flags: Mapping[str, int]
    start: Start


class State:
    """The changing part of a game. ``copy`` is cheap, and ``key`` identifies a state in a search.

    Attributes:
        game: The static part.
        location: Index of the agent's location.
        held: Index of the held object, or -1.
        opened: Bit mask of the open receptacles.
        contents: The objects in each receptacle, ascending. In some official games an object is in two receptacles.
        objects_at: The objects at each location, ascending.
        taken: The objects taken out of each receptacle and not put back. Only texts depend on it.
        clean: Bit mask of the clean objects; ``hot``, ``cool``, ``sliced`` and ``toggled`` likewise.
    """

    __slots__ = (
        "clean", "contents", "cool", "game", "held", "hot", "location", "objects_at", "opened", "sliced", "taken",
        "toggled",
    )  # fmt: skip

    game: Scene
    location: int
    held: int
    opened: int
    contents: list[tuple[int, ...]]
    objects_at: list[tuple[int, ...]]
    taken: list[tuple[int, ...]]
    clean: int
    hot: int
    cool: int
    sliced: int
    toggled: int

    def __init__(self, game: Scene) -> None:
        """Start ``game``."""
        start = game.start
        self.game = game
        self.location = start.location
        self.held = start.held
        self.opened = start.flags["opened"]
        self.contents = list(start.contents)
        self.objects_at = list(start.objects_at)
        self.taken = [()] * len(game.receptacles)
        self.clean = start.flags["isclean"]
        self.hot = start.flags["ishot"]
        self.cool = start.flags["iscool"]
        self.sliced = start.flags["issliced"]
        self.toggled = start.flags["istoggled"]

    def copy(self) -> Self:
        """Return an independent copy."""
        other = object.__new__(type(self))
        for name in State.__slots__:
            setattr(other, name, getattr(self, name))
        other.contents, other.objects_at, other.taken = self.contents.copy(), self.objects_at.copy(), self.taken.copy()
        return other

    @property
    def key(self) -> tuple[object, ...]:
        """A hashable key: two states of a game have equal keys if and only if the same can happen in them."""
        return (
            self.location, self.held, self.opened, tuple(self.contents), tuple(self.objects_at),
            self.clean, self.hot, self.cool, self.sliced, self.toggled,
        )  # fmt: skip

    def accessible(self, receptacle: int) -> bool:
        """Return whether an agent at the receptacle can see and reach its contents."""
        return not self.game.receptacles[receptacle].openable or bool(self.opened >> receptacle & 1)
