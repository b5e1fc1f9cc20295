"""The PDDL problem of a household."""

from collections.abc import Iterator, Sequence

from leap_exp.envs.alfworld.builtin.catalogue import LAMP, OBJECT_KINDS, OPENABLE
from leap_exp.envs.alfworld.builtin.placement import PlacedObject
from leap_exp.envs.alfworld.builtin.rooms import Receptacle, Room
from leap_exp.envs.alfworld.builtin.tasks import HouseholdTask

_DOMAIN_OBJECT_KINDS = frozenset({"Knife", "ButterKnife"})
_DOMAIN_RECEPTACLE_KINDS = frozenset({"SinkBasin", "Microwave", "Fridge"})
"""Kinds in the rules of the domain: every problem must declare them."""


def render_problem(name: str, task: HouseholdTask, room: Room, objects: Sequence[PlacedObject]) -> str:
    """Return the problem called ``name``."""
    receptacles = [receptacle for alike in room.receptacles.values() for receptacle in alike]
    return "\n".join(
        [
            f"(define (problem {name})",
            "(:domain alfred)",
            "(:objects",
            *(f"    {declaration}" for declaration in _declarations(room, receptacles, objects)),
            ")",
            "(:init",
            *(f"    ({fact})" for fact in _facts(room, receptacles, objects)),
            ")",
            f"(:goal {_goal(task)})",
            ")",
            "",
        ]
    )


def _declarations(room: Room, receptacles: Sequence[Receptacle], objects: Sequence[PlacedObject]) -> Iterator[str]:
    yield "agent1 - agent"
    object_kinds = {item.kind for item in objects} | _DOMAIN_OBJECT_KINDS
    yield from (f"{kind}Type - otype" for kind in sorted(object_kinds))
    yield from (f"{kind}Type - rtype" for kind in sorted({*room.receptacles, *_DOMAIN_RECEPTACLE_KINDS}))
    yield from (f"{item.id} - object" for item in objects)
    yield from (f"{receptacle.id} - receptacle" for receptacle in receptacles)
    yield from (f"{spot} - location" for spot in sorted({room.start, *(place.location for place in receptacles)}))


def _facts(room: Room, receptacles: Sequence[Receptacle], objects: Sequence[PlacedObject]) -> Iterator[str]:
    yield f"atLocation agent1 {room.start}"
    for receptacle in receptacles:
        yield f"receptacleType {receptacle.id} {receptacle.kind}Type"
        yield f"receptacleAtLocation {receptacle.id} {receptacle.location}"
        if receptacle.kind in OPENABLE:
            yield f"openable {receptacle.id}"
    for kind in sorted({item.kind for item in objects if OBJECT_KINDS[item.kind].is_movable}):
        yield from (
            f"canContain {place}Type {kind}Type" for place in OBJECT_KINDS[kind].fits if place in room.receptacles
        )
    for item in objects:
        yield f"objectType {item.id} {item.kind}Type"
        yield f"inReceptacle {item.id} {item.receptacle.id}"
        yield f"objectAtLocation {item.id} {item.receptacle.location}"
        for trait in OBJECT_KINDS[item.kind].traits:
            yield f"{trait} {item.id}"


def _goal(task: HouseholdTask) -> str:
    """Return the goal in PDDL."""
    target = f"{task.target}Type"
    if task.type.needs_lamp:
        return (
            "(and (exists (?ot - object ?r - receptacle ?a - agent ?l - location)"
            f" (and (objectType ?ot {LAMP}Type) (toggleable ?ot) (isToggled ?ot)"
            " (receptacleAtLocation ?r ?l) (atLocation ?a ?l) (inReceptacle ?ot ?r)))"
            f" (exists (?o - object ?a - agent) (and (objectType ?o {target}) (holds ?a ?o))))"
        )
    goal = f"(receptacleType ?r {task.goal}Type)"
    if task.type.targets == 2:
        return (
            "(and (exists (?r - receptacle) (exists (?o1 - object)"
            f" (and (objectType ?o1 {target}) {goal} (inReceptacle ?o1 ?r)"
            " (exists (?o2 - object) (and (not (= ?o1 ?o2))"
            f" (objectType ?o2 {target}) {goal} (inReceptacle ?o2 ?r)))))))"
        )
    treated = f"({task.type.trait} ?o) ({task.type.state} ?o) " if task.type.state else ""
    return (
        "(and (exists (?r - receptacle) (exists (?o - object)"
        f" (and {treated}(objectType ?o {target}) {goal} (inReceptacle ?o ?r)))))"
    )
