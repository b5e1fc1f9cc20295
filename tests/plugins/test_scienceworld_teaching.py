"""The rules of ScienceWorld's expert, on texts of the game; they need neither Java nor the game."""

import pytest

pytest.importorskip("leap_scienceworld", reason="not installed: pip install ./plugins/leap_scienceworld")

from leap_exp.core.types import Decision, Observation, Step, Task, View
from leap_scienceworld.teaching.expert import expert_action, is_sound
from leap_scienceworld.teaching.memory import recall
from leap_scienceworld.teaching.words import closest, is_move, step_towards, things_of, verb_of, way

HALLWAY = """This room is called the hallway. In it, you see:
\tthe agent
\ta substance called air
You also see:
\tA door to the kitchen (that is closed)
\tA door to the greenhouse (that is open)"""
OUTSIDE = "This outside location is called the outside. Here you see:\n\ta crocodile\n\ta giant tortoise\n\ta dragonfly"
FIND = "Your task is to find a(n) plant. First, focus on the thing. Then, move it to the orange box in the bathroom."
LIVES = (
    "Your task is to find the animal with the longest life span. The animals are in the 'outside' location. Focus on "
    "the animal with the longest life span."
)


def view(instruction, *shown):
    """A view after (text, actions, taken) triples; the last one has no action taken."""
    task = Task(id="scienceworld/some/0-00000000", split="dev", instruction=instruction, kind="some")
    observations = [Observation(text=text, admissible_actions=tuple(actions)) for text, actions, _ in shown]
    steps = tuple(
        Step(observation=observation, decision=Decision(reason="", action=taken), reward=0.0)
        for observation, (_, _, taken) in zip(observations[:-1], shown[:-1], strict=True)
    )
    return View(task=task, history=steps, observation=observations[-1])


def test_actions_are_taken_apart():
    assert [verb_of(action) for action in ("pick up cup", "wait1", "look at cup in sink")] == [
        "pick up",
        "wait1",
        "look at",
    ]
    assert things_of("move substance in metal pot to sink") == ["substance in metal pot", "sink"]
    assert things_of("use thermometer in inventory on water") == ["thermometer in inventory", "water"]
    assert things_of("look around") == []
    assert [is_move(action) for action in ("open door to kitchen", "open cupboard", "go to hallway")] == [
        True,
        False,
        True,
    ]


def test_the_way_leads_through_doors():
    assert way("workshop", "foundry") == "hallway"
    assert way("kitchen", "kitchen") == ""
    actions = ["open door to kitchen", "go to greenhouse", "open greenhouse door"]
    assert step_towards(actions, "hallway", "bathroom") == "open door to kitchen"
    assert step_towards(actions, "hallway", "outside") in ("go to greenhouse", "open door to kitchen")
    assert step_towards([*actions, "teleport to bathroom"], "hallway", "bathroom") == "teleport to bathroom"


def test_the_same_action_is_found_under_another_name():
    listed = ["move water in metal pot to sink", "pick up metal pot", "pick up glass cup"]
    assert closest("pick up metal pot", listed) == "pick up metal pot"
    assert closest("move substance in metal pot to sink", listed) == "move water in metal pot to sink"
    assert closest("focus on metal pot", listed) == ""


def test_rooms_are_remembered():
    seen = view(
        FIND,
        (f"{FIND}\n\n{HALLWAY}", ["go to greenhouse"], "go to greenhouse"),
        ("You move to the greenhouse.", [], ""),
    )
    memory = recall(seen)
    assert list(memory.rooms) == ["hallway", "greenhouse"]
    assert list(memory.texts) == ["hallway"]


def test_it_looks_around_in_a_new_room_and_goes_on_from_a_known_one():
    start = (f"{FIND}\n\n{HALLWAY}", ["go to greenhouse", "look around", "open door to kitchen"], "go to greenhouse")
    assert expert_action(view(FIND, start)) in ("go to greenhouse", "open door to kitchen")
    arrived = ("You move to the greenhouse.", ["look around", "go to hallway"], "")
    assert expert_action(view(FIND, start, arrived)) == "look around"
    assert expert_action(view(FIND, start), first="kitchen") == "open door to kitchen"


def test_it_finds_a_plant_and_carries_it_to_the_box():
    here = [
        "focus on air",
        "focus on orange tree",
        "focus on jug",
        "pick up orange tree",
        "pick up jug",
        "go to hallway",
    ]
    start = (f"{FIND}\n\n{HALLWAY}", here, "focus on orange tree")
    assert expert_action(view(FIND, start)) == "focus on orange tree"
    focused = ("You focus on the orange tree.", here, "pick up orange tree")
    assert expert_action(view(FIND, start, focused)) == "pick up orange tree"
    taken = (
        "You move the orange tree to the inventory.",
        ["go to kitchen", "open door to greenhouse"],
        "go to kitchen",
    )
    assert expert_action(view(FIND, start, focused, taken)) == "go to kitchen"
    bathroom = "This room is called the bathroom. In it, you see:\n\ta orange box"
    moves = ["move orange tree to orange box", "move jug to orange box", "move orange tree to sink"]
    assert expert_action(view(FIND, start, focused, taken, (bathroom, moves, ""))) == "move orange tree to orange box"


def test_it_names_the_animal_that_lives_longest():
    animals = ["focus on crocodile", "focus on giant tortoise", "focus on dragonfly", "focus on air"]
    assert expert_action(view(LIVES, (OUTSIDE, animals, ""))) == "focus on giant tortoise"
    shortest = LIVES.replace("longest", "shortest")
    assert expert_action(view(shortest, (OUTSIDE, animals, ""))) == "focus on dragonfly"
    both = LIVES.replace("longest life span. The", "longest life span, then the shortest life span. The", 1)
    second = (OUTSIDE, animals, "focus on giant tortoise"), ("You focus on the giant tortoise.", animals, "")
    assert expert_action(view(both, *second)) == "focus on dragonfly"


def test_one_way_to_explore_is_as_good_as_another():
    start = view(FIND, (f"{FIND}\n\n{HALLWAY}", ["go to greenhouse", "open door to kitchen", "focus on air"], ""))
    assert is_sound(start, "go to greenhouse")
    assert is_sound(start, "open door to kitchen")
    assert not is_sound(start, "focus on air")
