"""The fast engine: ALFWorld's rules in plain Python.

For the same game file it gives the same texts and the same admissible commands, in the same order, as TextWorld. Run
``leap check alfworld`` to compare the two.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Self

from leap_exp.envs.alfworld.engine import Play
from leap_exp.envs.alfworld.engine.game import Action, Game, read_game
from leap_exp.envs.alfworld.engine.query import Bindings
from leap_exp.envs.alfworld.engine.state import State

NOTHING_HAPPENS = "Nothing happens."
"""The answer to an inadmissible command."""

Commands = tuple[tuple[str, Action], ...]

_APPLIANCES = {
    "sinkbasintype": ("cleanable", "cleanobject"),
    "microwavetype": ("heatable", "heatobject"),
    "fridgetype": ("coolable", "coolobject"),
}
"""The receptacle types that change a held object: the property that it must have, and the action."""
_KNIVES = frozenset({"knifetype", "butterknifetype"})


class World(State):
    """The state of a game, with the commands that are admissible in it and what they change.

    Attributes:
        won: Whether the goal is reached.
    """

    __slots__ = ("_commands", "won")

    game: Game
    won: bool
    _commands: Commands | None

    def __init__(self, game: Game) -> None:
        """Start ``game``."""
        super().__init__(game)
        self.won = game.goal.satisfied(self)
        self._commands = None

    def copy(self) -> Self:
        """Return an independent copy."""
        other = super().copy()
        other.won, other._commands = self.won, self._commands
        return other

    def intro(self) -> str:
        """Return the opening text."""
        return self.game.grammar.intro(self, {})

    def admissible(self) -> Commands:
        """Return the admissible commands in alphabetical order, each with its action."""
        if self._commands is None:
            self._commands = tuple(sorted(self._admissible()))
        return self._commands

    def _admissible(self) -> list[tuple[str, Action]]:
        game = self.game
        found = list(self._anywhere())
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

    def _anywhere(self) -> Sequence[tuple[str, Action]]:
        """Return the commands that depend on nothing but the location: looking, and going elsewhere."""
        known = self.game.commands_anywhere
        if self.location not in known:
            elsewhere = [place.index for place in self.game.receptacles if place.location != self.location]
            known[self.location] = [self._command(name) for name in ("look", "inventory", "help")] + [
                self._command("gotolocation", receptacle=index) for index in elsewhere
            ]
        return known[self.location]

    def _at(self, receptacle: int) -> Iterator[tuple[str, Action]]:
        """Yield what can be done at a receptacle at the agent's location."""
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
        """Return an action with its command, which is rendered once per game."""
        action = Action(name, thing, receptacle, tool)
        known = self.game.commands.get(action)
        if known is None:
            text = self.game.grammar.commands[name](self, self._bindings(action))
            known = self.game.commands[action] = (text, action)
        return known

    def _bindings(self, action: Action) -> Bindings:
        """Return the values of the variables in the action's texts."""
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
        """Execute an admissible action and return the answer."""
        bindings = self._bindings(action)
        effect = _EFFECTS.get(action.name)
        if effect is not None:
            effect(self, action)
            self._commands = None
            self.won = self.game.goal.satisfied(self)
        return self.game.grammar.feedback[action.name](self, bindings)

    def step(self, command: str) -> str:
        """Execute a command, ignoring white space around it, and return the answer."""
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
"""How each action changes the state. Actions that are not listed change nothing."""


class FastPlay(Play):
    """A running game on the fast engine."""

    def __init__(self, game: Game) -> None:
        self._world = World(game)
        self.reward = 0.0
        self._show(self._world.intro())

    @property
    def world(self) -> World:
        """The state of the game."""
        return self._world

    def step(self, command: str) -> None:
        """Execute ``command``."""
        self._show(self._world.step(command))
        self.reward = float(self.won)

    def close(self) -> None:
        """Do nothing: the game has no resources outside this object."""

    def _show(self, text: str) -> None:
        self.text = text
        self.admissible = tuple(command for command, _ in self._world.admissible())
        self.won = self.done = self._world.won


def open_fast(game_text: str) -> FastPlay:
    """Start a game on the fast engine, given the text of its file."""
    return FastPlay(read_game(game_text))
