"""The fast engine: ALFWorld's rules in plain Python.

A world answers as TextWorld does on the same game file: the same texts, the same admissible commands in the same
order. ``python -m leap_exp.check alfworld`` compares the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Self

from leap_exp.envs.alfworld.game import Action, Game
from leap_exp.envs.alfworld.query import Bindings

NOTHING_HAPPENS = "Nothing happens."
"""The answer to everything that is not admissible."""

Commands = tuple[tuple[str, Action], ...]

_APPLIANCES = {
    "sinkbasintype": ("cleanable", "cleanobject"),
    "microwavetype": ("heatable", "heatobject"),
    "fridgetype": ("coolable", "coolobject"),
}
"""The receptacle types that change what is in hand: the property that it needs, and the action."""
_KNIVES = frozenset({"knifetype", "butterknifetype"})


class World:
    """The state of one game. ``copy`` is cheap, and ``key`` tells states apart in a search.

    Attributes:
        game: What never changes.
        location: Index of the agent's location.
        held: Index of the object in hand, or -1.
        opened: Bit mask of the open receptacles.
        contents: The objects in each receptacle, ascending. An object can be in two: some official games say so.
        objects_at: The objects that count as being at each location, ascending.
        taken: The objects taken out of each receptacle and not put back, which only texts ask about.
        clean: Bit mask of the objects with this property; likewise ``hot``, ``cool``, ``sliced`` and ``toggled``.
        won: Whether the goal holds.
    """

    __slots__ = (
        "_commands", "clean", "contents", "cool", "game", "held", "hot", "location", "objects_at", "opened", "sliced",
        "taken", "toggled", "won",
    )  # fmt: skip

    game: Game
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
    won: bool
    _commands: Commands | None

    def __init__(self, game: Game) -> None:
        """The world at the start of ``game``."""
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
        self.won = game.goal.satisfied(self)
        self._commands = None

    def copy(self) -> Self:
        """Another world in the same state."""
        other = object.__new__(type(self))
        for name in World.__slots__:
            setattr(other, name, getattr(self, name))
        other.contents, other.objects_at, other.taken = self.contents.copy(), self.objects_at.copy(), self.taken.copy()
        return other

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for two worlds of a game exactly if the same can happen in them (texts aside)."""
        return (
            self.location, self.held, self.opened, tuple(self.contents), tuple(self.objects_at),
            self.clean, self.hot, self.cool, self.sliced, self.toggled,
        )  # fmt: skip

    def intro(self) -> str:
        """The opening text."""
        return self.game.grammar.intro(self, {})

    def accessible(self, receptacle: int) -> bool:
        """Whether what is in the receptacle can be seen and reached by an agent that stands there."""
        return not self.game.receptacles[receptacle].openable or bool(self.opened >> receptacle & 1)

    def admissible(self) -> Commands:
        """The admissible commands in alphabetical order, each with the action that it stands for."""
        if self._commands is None:
            self._commands = tuple(sorted(self._admissible()))
        return self._commands

    def _admissible(self) -> list[tuple[str, Action]]:
        game = self.game
        found = list(self._always())
        lamps: set[int] = set()
        for receptacle in game.receptacles_at[self.location]:
            found += self._at(receptacle)
            lamps.update(thing for thing in self.contents[receptacle] if game.flags["toggleable"] >> thing & 1)
        found += [self._command("toggleobject", lamp) for lamp in lamps]
        if self.held >= 0:
            found.append(self._command("examineobject", self.held))
            if game.objects[self.held].otype in _KNIVES:
                found += [
                    self._command("sliceobject", thing, tool=self.held)
                    for thing in self.objects_at[self.location]
                    if game.objects[thing].sliceable
                ]
        return found

    def _always(self) -> Sequence[tuple[str, Action]]:
        """What does not depend on more than where the agent is: looking, and going elsewhere."""
        always = self.game.always
        if self.location not in always:
            elsewhere = [place.index for place in self.game.receptacles if place.location != self.location]
            always[self.location] = [self._command(name) for name in ("look", "inventory", "help")] + [
                self._command("gotolocation", receptacle=index) for index in elsewhere
            ]
        return always[self.location]

    def _at(self, receptacle: int) -> Iterator[tuple[str, Action]]:
        """What can be done at a receptacle where the agent stands."""
        game, held = self.game, self.held
        place, reachable = game.receptacles[receptacle], self.accessible(receptacle)
        yield self._command("examinereceptacle", receptacle=receptacle)
        if place.openable:
            yield self._command("closeobject" if reachable else "openobject", receptacle=receptacle)
        if held < 0:
            if reachable:
                pickupable = game.flags["pickupable"]
                for thing in self.contents[receptacle]:
                    if pickupable >> thing & 1:
                        yield self._command("pickupobject", thing, receptacle)
            return
        if reachable and (place.rtype, game.objects[held].otype) in game.can_contain:
            yield self._command("putobject", held, receptacle)
        if place.rtype in _APPLIANCES:
            property_name, action = _APPLIANCES[place.rtype]
            if game.flags[property_name] >> held & 1:
                yield self._command(action, held, receptacle)

    def _command(self, name: str, thing: int = -1, receptacle: int = -1, tool: int = -1) -> tuple[str, Action]:
        """An action with the command that stands for it, rendered once a game."""
        action = Action(name, thing, receptacle, tool)
        known = self.game.commands.get(action)
        if known is None:
            text = self.game.grammar.commands[name](self, self._bindings(action))
            known = self.game.commands[action] = (text, action)
        return known

    def _bindings(self, action: Action) -> Bindings:
        """What the parameters of the action's texts stand for."""
        bindings = {"a": 0, "l": self.location}
        if action.name == "sliceobject":
            return bindings | {"co": action.object, "ko": action.tool}
        if action.object >= 0:
            bindings["o"] = action.object
        if action.receptacle >= 0:
            bindings["r"] = action.receptacle
        if action.name == "gotolocation":
            del bindings["l"]
            bindings["lend"] = self.game.receptacles[action.receptacle].location
        return bindings

    def apply(self, action: Action) -> str:
        """Carry out an admissible action and return the text that answers it."""
        bindings = self._bindings(action)
        effect = _EFFECTS.get(action.name)
        if effect is not None:
            effect(self, action)
            self._commands = None
            self.won = self.game.goal.satisfied(self)
        return self.game.grammar.feedback[action.name](self, bindings)

    def step(self, command: str) -> str:
        """Carry out a command (surrounding white space does not matter) and return the text that answers it."""
        wanted = command.strip()
        for text, action in self.admissible():
            if text == wanted:
                return self.apply(action)
        return NOTHING_HAPPENS


def _with(column: tuple[int, ...], thing: int) -> tuple[int, ...]:
    return column if thing in column else tuple(sorted((*column, thing)))


def _without(column: tuple[int, ...], thing: int) -> tuple[int, ...]:
    return tuple(other for other in column if other != thing)


def _go(world: World, action: Action) -> None:
    world.location = world.game.receptacles[action.receptacle].location


def _open(world: World, action: Action) -> None:
    world.opened |= 1 << action.receptacle


def _close(world: World, action: Action) -> None:
    world.opened &= ~(1 << action.receptacle)


def _take(world: World, action: Action) -> None:
    thing, receptacle, location = action.object, action.receptacle, world.location
    world.contents[receptacle] = _without(world.contents[receptacle], thing)
    world.taken[receptacle] = _with(world.taken[receptacle], thing)
    world.objects_at[location] = _without(world.objects_at[location], thing)
    world.held = thing


def _put(world: World, action: Action) -> None:
    thing, receptacle, location = action.object, action.receptacle, world.location
    world.contents[receptacle] = _with(world.contents[receptacle], thing)
    world.taken[receptacle] = _without(world.taken[receptacle], thing)
    world.objects_at[location] = _with(world.objects_at[location], thing)
    world.held = -1


def _clean(world: World, action: Action) -> None:
    world.clean |= 1 << action.object


def _heat(world: World, action: Action) -> None:
    world.hot |= 1 << action.object
    world.cool &= ~(1 << action.object)


def _cool(world: World, action: Action) -> None:
    world.cool |= 1 << action.object
    world.hot &= ~(1 << action.object)


def _toggle(world: World, action: Action) -> None:
    world.toggled |= 1 << action.object


def _slice(world: World, action: Action) -> None:
    world.sliced |= 1 << action.object


_EFFECTS: Mapping[str, Callable[[World, Action], None]] = {
    "gotolocation": _go,
    "openobject": _open,
    "closeobject": _close,
    "pickupobject": _take,
    "putobject": _put,
    "cleanobject": _clean,
    "heatobject": _heat,
    "coolobject": _cool,
    "toggleobject": _toggle,
    "sliceobject": _slice,
}
"""What each action changes; looking, examining and asking for help change nothing."""
