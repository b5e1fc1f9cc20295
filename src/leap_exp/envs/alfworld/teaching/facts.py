"""The privileged facts of a game, as text for a teacher and as data for a program."""

from collections.abc import Iterable

from leap_exp.core.types import PrivilegedFacts
from leap_exp.envs.alfworld.engine.fast import World
from leap_exp.envs.alfworld.engine.game import Action, Game
from leap_exp.envs.alfworld.engine.state import Object
from leap_exp.envs.alfworld.teaching.phrases import preposition
from leap_exp.envs.alfworld.teaching.planner import plan_commands, shortest_plan


def privileged_facts(task_id: str, game: Game) -> PrivilegedFacts:
    """Return the facts of ``game`` at its start.

    The keys of ``data`` are:
        task: The task sentence.
        essential_objects: Names of the objects in the plan.
        locations: All target objects and lamps, with the receptacle of each.
        hidden_names: Names that the opening text does not show: all objects.
        plan: A shortest sequence of commands; empty for a game in which things must be sliced.
    """
    world = World(game)
    plan = shortest_plan(world) or ()
    commands = plan_commands(world, plan)
    essential = _essential(game, plan)
    locations = _locations(world)
    lines = [
        f"Task: {game.instruction}",
        *([f"Essential objects: {', '.join(essential)}"] if essential else []),
        "Where they are:",
        *(_whereabouts(world, name, place) for name, place in locations.items()),
        *(["Optimal actions:"] if commands else []),
        *(f"{number}. {command}" for number, command in enumerate(commands, start=1)),
    ]
    return PrivilegedFacts(
        task_id=task_id,
        text="\n".join(lines),
        data={
            "task": game.instruction,
            "essential_objects": essential,
            "locations": locations,
            "hidden_names": sorted(thing.name for thing in game.objects),
            "plan": commands,
        },
    )


def holder(world: World, thing: int) -> str:
    """Return the name of the receptacle that holds the object ``thing``; empty if there is none."""
    for place in world.game.receptacles:
        if thing in world.contents[place.index]:
            return place.name
    return ""


def _essential(game: Game, plan: Iterable[Action]) -> list[str]:
    things = dict.fromkeys(action.object for action in plan if action.object >= 0)
    return [game.objects[thing].name for thing in things]


def _locations(world: World) -> dict[str, str]:
    """Return the receptacle of each target object and each lamp."""
    goal = world.game.goal
    things = sorted((thing for thing in world.game.objects if thing.otype in (goal.otype, goal.lamp_otype)), key=_rank)
    return {thing.name: place for thing in things if (place := holder(world, thing.index))}


def _rank(thing: Object) -> tuple[str, int]:
    return thing.kind, int(thing.name.rpartition(" ")[2])


def _whereabouts(world: World, name: str, place: str) -> str:
    receptacle = next(receptacle for receptacle in world.game.receptacles if receptacle.name == place)
    closed = " (closed)" if receptacle.openable and not receptacle.opened_at_start else ""
    return f"- {name}: {preposition(receptacle.kind)} {place}{closed}"
