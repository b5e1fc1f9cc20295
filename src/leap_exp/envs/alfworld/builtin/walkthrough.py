"""Shortest solutions of generated games."""

from collections.abc import Iterator, Sequence
from itertools import permutations

from leap_exp.envs.alfworld.builtin.catalogue import LAMP, OPENABLE
from leap_exp.envs.alfworld.builtin.placement import PlacedObject
from leap_exp.envs.alfworld.builtin.rooms import Receptacle, Room
from leap_exp.envs.alfworld.builtin.tasks import HouseholdTask


class _Walk:
    """A list of commands, with the agent's location and the open receptacles after them."""

    def __init__(self) -> None:
        self.commands: list[str] = []
        self._location = ""
        self._opened: set[str] = set()

    def go(self, receptacle: Receptacle) -> None:
        """Go to ``receptacle`` unless it is at the current location."""
        if receptacle.location != self._location:
            self.commands.append(f"go to {receptacle.name}")
            self._location = receptacle.location

    def take(self, item: PlacedObject) -> None:
        """Go to ``item``, open its receptacle if necessary and take it."""
        self._open(item.receptacle)
        self.commands.append(f"take {item.name} from {item.receptacle.name}")

    def put(self, item: PlacedObject, receptacle: Receptacle) -> None:
        """Bring the held ``item`` to ``receptacle``, open it if necessary and put the item down."""
        self._open(receptacle)
        self.commands.append(f"move {item.name} to {receptacle.name}")

    def treat(self, verb: str, item: PlacedObject, appliance: Receptacle) -> None:
        """Heat, cool or clean the held ``item``; the appliance may stay closed."""
        self.go(appliance)
        self.commands.append(f"{verb} {item.name} with {appliance.name}")

    def switch_on(self, lamp: PlacedObject) -> None:
        """Go to ``lamp`` and turn it on."""
        self.go(lamp.receptacle)
        self.commands.append(f"use {lamp.name}")

    def _open(self, receptacle: Receptacle) -> None:
        self.go(receptacle)
        if receptacle.kind in OPENABLE and receptacle.id not in self._opened:
            self.commands.append(f"open {receptacle.name}")
            self._opened.add(receptacle.id)


def shortest_walkthrough(task: HouseholdTask, room: Room, objects: Sequence[PlacedObject]) -> list[str]:
    """Return the commands of a shortest solution, the first over all choices of objects and receptacles."""
    return min(_walkthroughs(task, room, objects), key=len)


def _walkthroughs(task: HouseholdTask, room: Room, objects: Sequence[PlacedObject]) -> Iterator[list[str]]:
    targets = [item for item in objects if item.kind == task.target]
    if task.type.needs_lamp:
        lamps = [item for item in objects if item.kind == LAMP]
        for target in targets:
            for lamp in lamps:
                walk = _Walk()
                walk.take(target)
                walk.switch_on(lamp)
                yield walk.commands
        return
    appliances: Sequence[Receptacle | None] = room.receptacles[task.type.appliance] if task.type.appliance else (None,)
    for selected in permutations(targets, task.type.targets):
        for appliance in appliances:
            for goal in _distinct_goals(room.receptacles[task.goal], selected, appliance):
                walk = _Walk()
                for target in selected:
                    walk.take(target)
                    if appliance:
                        walk.treat(task.type.verb, target, appliance)
                    walk.put(target, goal)
                yield walk.commands


def _distinct_goals(
    goals: Sequence[Receptacle], targets: Sequence[PlacedObject], appliance: Receptacle | None
) -> list[Receptacle]:
    """Return the goals that can differ in walking distance: one away from all else, and those that share a location."""
    spots = {target.receptacle.location for target in targets} | ({appliance.location} if appliance else set())
    apart = [goal for goal in goals if goal.location not in spots]
    return apart[:1] + [goal for goal in goals if goal.location in spots]
