"""The fast engine: ALFWorld's rules in plain Python.

For the same game file it gives the same texts and the same admissible commands, in the same order, as TextWorld. Run
``leap check alfworld`` to compare the two.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Self

from leap_exp.envs.alfworld.engine import Play
from leap_exp.envs.alfworld.engine.game import Action, Command, Game, read_game
from leap_exp.envs.alfworld.engine.query import Row
from leap_exp.envs.alfworld.engine.state import State

NOTHING_HAPPENS = "Nothing happens."
"""The answer to an inadmissible command."""

Commands = tuple[Command, ...]
_text = itemgetter(0)
"""Returns the text of a command."""

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
        return self.game.grammar.intro(self, ())

    def admissible(self) -> Commands:
        """Return the admissible commands in alphabetical order, each with its action."""
        if self._commands is None:
            # Most of them are sorted already.
            self._commands = tuple(sorted(self._of_location() + self._of_state()))
        return self._commands

    def _of_location(self) -> list[Command]:
        """Return the commands, sorted, that depend on nothing but the location: looking, and going elsewhere."""
        known = self.game.commands_of_location.get(self.location)
        if known is None:
            known = self._of_game().copy()
            for receptacle in self.game.receptacles_at[self.location]:
                known.remove(self._command("gotolocation", receptacle=receptacle))
            self.game.commands_of_location[self.location] = known
        return known

    def _of_game(self) -> list[Command]:
        """Return the commands, sorted, for looking and for going to every receptacle."""
        known = self.game.commands_of_game
        if not known:
            found = [self._command(name) for name in ("look", "inventory", "help")]
            found += [self._command("gotolocation", receptacle=place.index) for place in self.game.receptacles]
            known[:] = sorted(found)
        return known

    def _of_state(self) -> list[Command]:
        """Return the other commands, which depend on what is here, open or held."""
        game, held = self.game, self.held
        here, contents, toggleable = game.receptacles_at[self.location], self.contents, game.flags["toggleable"]
        found: list[Command] = []
        for receptacle in here:
            self._add_handling(receptacle, found)
        lamps = {thing for receptacle in here for thing in contents[receptacle] if toggleable >> thing & 1}
        found += [self._command("toggleobject", lamp) for lamp in lamps]
        if held >= 0:
            found.append(self._command("examineobject", held))
            if game.objects[held].otype in _KNIVES:
                sliceable = game.flags["sliceable"]
                found += [
                    self._command("sliceobject", thing, tool=held)
                    for thing in self.objects_at[self.location]
                    if sliceable >> thing & 1
                ]
        return found

    def _add_handling(self, receptacle: int, found: list[Command]) -> None:
        """Add to ``found`` what can be done with a receptacle at the agent's location and with its contents."""
        game, held = self.game, self.held
        place, reachable = game.receptacles[receptacle], self.accessible(receptacle)
        found.append(self._command("examinereceptacle", receptacle=receptacle))
        if place.openable:
            found.append(self._command("closeobject" if reachable else "openobject", receptacle=receptacle))
        if held < 0:
            if reachable:
                pickupable = game.flags["pickupable"]
                found += [
                    self._command("pickupobject", thing, receptacle)
                    for thing in self.contents[receptacle]
                    if pickupable >> thing & 1
                ]
            return
        if reachable and (place.rtype, game.objects[held].otype) in game.can_contain:
            found.append(self._command("putobject", held, receptacle))
        if place.rtype in _APPLIANCES:
            property_name, action = _APPLIANCES[place.rtype]
            if game.flags[property_name] >> held & 1:
                found.append(self._command(action, held, receptacle))

    def _command(self, name: str, thing: int = -1, receptacle: int = -1, tool: int = -1) -> Command:
        """Return an action with its command, which is rendered once per game."""
        known = self.game.commands.get((name, thing, receptacle, tool))
        if known is None:
            action = Action(name, thing, receptacle, tool)
            text = self.game.grammar.commands[name](self, self._row(action))
            known = self.game.commands[action] = (text, action)
        return known

    def _row(self, action: Action) -> Row:
        """Return the values of the variables in the action's texts, in the order of ``SCOPES``."""
        name, thing, receptacle, tool = action
        location = self.game.receptacles[receptacle].location if name == "gotolocation" else self.location
        return (0, location, thing, receptacle, tool)

    def apply(self, action: Action) -> str:
        """Execute an admissible action and return the answer."""
        name, row = action.name, self._row(action)
        effect = _EFFECTS.get(name)
        if effect is not None:
            effect(self, action)
            if name in _CHANGING_COMMANDS:
                self._commands = None
            if name in self.game.goal.deciding_actions:
                self.won = self.game.goal.satisfied(self)
        return self.game.grammar.feedback[name](self, row)

    def step(self, command: str) -> str:
        """Execute a command, ignoring white space around it, and return the answer."""
        wanted, commands = command.strip(), self.admissible()
        index = bisect_left(commands, wanted, key=_text)
        if index < len(commands) and commands[index][0] == wanted:
            return self.apply(commands[index][1])
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

_CHANGING_COMMANDS = frozenset({"gotolocation", "openobject", "closeobject", "pickupobject", "putobject"})
"""The actions after which other commands are admissible. No command depends on what is clean, hot, on or sliced."""


class FastPlay(Play):
    """A running game on the fast engine."""

    def __init__(self, game: Game) -> None:
        self._world = World(game)
        self._listed: Commands = ()
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
        commands = self._world.admissible()
        if commands is not self._listed:
            self._listed = commands
            self.admissible = tuple(map(_text, commands))
        self.won = self.done = self._world.won


def open_fast(game_text: str) -> FastPlay:
    """Start a game on the fast engine, given the text of its file."""
    return FastPlay(read_game(game_text))
