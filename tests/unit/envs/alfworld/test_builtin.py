"""Properties of generated games, read from their files alone."""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass

import pytest

from leap_exp.core.errors import ConfigError
from leap_exp.envs.alfworld.builtin import SPLIT_ROOMS, generate_game
from leap_exp.envs.alfworld.builtin.catalogue import BASINS, HOUSEHOLDS, OBJECT_KINDS, ROOM_KINDS
from leap_exp.envs.alfworld.builtin.naming import entity_id, location_id, shown_names

GAMES_PER_SPLIT = 120

PHRASES = {
    "pick_and_place_simple": r"put a \w+ in \w+\.|put some \w+ on \w+\.",
    "look_at_obj_in_light": r"look at \w+ under the desklamp\.|examine the \w+ with the desklamp\.",
    "pick_clean_then_place_in_recep": r"put a clean \w+ in \w+\.|clean some \w+ and put it in \w+\.",
    "pick_heat_then_place_in_recep": r"put a hot \w+ in \w+\.|heat some \w+ and put it in \w+\.",
    "pick_cool_then_place_in_recep": r"put a cool \w+ in \w+\.|cool some \w+ and put it in \w+\.",
    "pick_two_obj_and_place": r"put two \w+ in \w+\.|find two \w+ and put them in \w+\.",
}
TREATMENTS = {
    "pick_clean_then_place_in_recep": ("cleanable", "SinkBasin"),
    "pick_heat_then_place_in_recep": ("heatable", "Microwave"),
    "pick_cool_then_place_in_recep": ("coolable", "Fridge"),
}


@dataclass(frozen=True)
class ParsedGame:
    """The contents of a game file: facts by predicate, kinds by id, and the goal."""

    kind: str
    sentence: str
    facts: dict[str, list[tuple[str, ...]]]
    kinds: dict[str, str]
    target: str
    goal: str
    walkthrough: list[str]

    @property
    def containment(self) -> list[tuple[str, str]]:
        """(object, receptacle) pairs."""
        return [(item, receptacle) for item, receptacle in self.facts["inReceptacle"]]

    @property
    def inventory(self) -> tuple[str, ...]:
        """The kinds of the receptacles, sorted."""
        return tuple(sorted(kind for _, kind in self.facts["receptacleType"]))


def parse(text: str) -> ParsedGame:
    game = json.loads(text)
    initial, condition = game["pddl_problem"].split("(:init")[1].split("(:goal")
    facts: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for predicate, arguments in re.findall(r"\((\w+) ([^()]+)\)", initial):
        facts[predicate].append(tuple(arguments.split()))
    sentence = re.search(r"Your task is to: ([^\"]+)\"", game["grammar"])[1]
    return ParsedGame(
        kind=next(kind for kind, phrase in PHRASES.items() if re.fullmatch(phrase, sentence)),
        sentence=sentence,
        facts=facts,
        kinds={thing: kind.removesuffix("Type") for thing, kind in facts["objectType"] + facts["receptacleType"]},
        target=re.search(r"objectType \?o1? (\w+)Type", condition)[1],
        goal="".join(re.findall(r"receptacleType \?r (\w+)Type", condition)[:1]),
        walkthrough=game["walkthrough"],
    )


@pytest.fixture(scope="module", params=HOUSEHOLDS)
def games(request: pytest.FixtureRequest) -> dict[str, list[ParsedGame]]:
    return {
        split: [parse(generate_game(split, index, seed=5, household=request.param)) for index in range(GAMES_PER_SPLIT)]
        for split in SPLIT_ROOMS
    }


def every(games: dict[str, list[ParsedGame]]) -> list[ParsedGame]:
    return [game for split in games.values() for game in split]


def test_task_types_alternate_and_sentences_name_the_goal(games):
    for split in games.values():
        assert Counter(game.kind for game in split) == dict.fromkeys(PHRASES, GAMES_PER_SPLIT // 6)
        assert {game.kind for game in split[7:13]} == set(PHRASES)
    for game in every(games):
        words = game.sentence.rstrip(".").split()
        assert game.target.lower() in words
        assert not game.goal or words[-1] == game.goal.lower()


def test_both_phrases_of_each_type_occur(games):
    phrases = {phrase for both in PHRASES.values() for phrase in both.split("|")}
    assert {
        phrase for phrase in phrases if any(re.fullmatch(phrase, game.sentence) for game in every(games))
    } == phrases


def test_targets_do_not_start_at_the_goal_and_can_be_brought_there(games):
    for game in every(games):
        places = [game.kinds[place] for item, place in game.containment if game.kinds[item] == game.target]
        assert len(places) >= (2 if game.kind == "pick_two_obj_and_place" else 1)
        if game.goal:
            assert game.goal not in places
            assert (f"{game.goal}Type", f"{game.target}Type") in game.facts["canContain"]
        if game.kind in TREATMENTS:
            trait, appliance = TREATMENTS[game.kind]
            assert appliance in game.kinds.values()
            assert all((item,) in game.facts[trait] for item, kind in game.kinds.items() if kind == game.target)


def test_lamps_are_on_open_receptacles_in_lamp_tasks(games):
    for game in every(games):
        if game.kind == "look_at_obj_in_light":
            lamps = [(item, place) for item, place in game.containment if game.kinds[item] == "DeskLamp"]
            assert lamps
            assert all((lamp,) in game.facts["toggleable"] for lamp, _ in lamps)
            assert not any((place,) in game.facts["openable"] for _, place in lamps)


def test_every_object_has_one_receptacle(games):
    for game in every(games):
        items = [item for item, _ in game.containment]
        spots = dict(game.facts["receptacleAtLocation"])
        assert len(set(items)) == len(items) == len(game.facts["objectType"])
        assert len(spots) == len(game.facts["receptacleType"])
        assert dict(game.facts["objectAtLocation"]) == {item: spots[place] for item, place in game.containment}
        assert game.facts["atLocation"][0][1] not in spots.values()


def test_objects_are_more_often_in_likely_places():
    homes = Counter()
    for index in range(600):
        game = parse(generate_game("train", index, seed=0, household="full"))
        if "StoveBurner" in game.kinds.values():
            homes.update(game.kinds[place] for item, place in game.containment if game.kinds[item] == "Mug")
    assert homes["CoffeeMachine"] > homes["CounterTop"] > homes["SinkBasin"] > 0


def test_all_games_differ(games):
    seen = Counter((game.sentence, tuple(sorted(game.containment))) for game in every(games))
    assert max(seen.values()) == 1


def test_unseen_rooms_differ_from_training_rooms(games):
    rooms = {split: {game.inventory for game in split_games} for split, split_games in games.items()}
    assert not rooms["valid_unseen"] & rooms["train"]
    assert len(rooms["valid_seen"] & rooms["train"]) > 20


def test_seen_rooms_have_the_same_receptacles_as_in_training(games):
    known = {game.inventory: set(game.facts["receptacleAtLocation"]) for game in games["train"]}
    again = [game for game in games["valid_seen"] if game.inventory in known]
    assert all(set(game.facts["receptacleAtLocation"]) == known[game.inventory] for game in again)


def test_household_sizes():
    small, full = (
        [parse(generate_game("train", index, seed=2, household=household)) for index in range(300)]
        for household in ("small", "full")
    )
    assert {len(game.inventory) for game in small} == {7, 8, 9, 10, 11}
    assert {len(game.containment) for game in small} == {10, 11, 12, 13, 14}
    kitchens = [game for game in full if "Microwave" in game.kinds.values()]
    assert all(20 <= len(game.inventory) <= 54 and 31 <= len(game.containment) <= 62 for game in kitchens)
    assert 25 <= sorted(len(game.inventory) for game in kitchens)[len(kitchens) // 2] <= 35
    shared = [
        game for game in full if len({spot for _, spot in game.facts["receptacleAtLocation"]}) < len(game.inventory)
    ]
    assert len(shared) > 100


def test_the_same_arguments_give_the_same_game_in_any_process():
    code = (
        "import hashlib, sys\n"
        "from leap_exp.envs.alfworld.builtin import generate_game\n"
        "texts = [generate_game('train', i, seed=3, household='full') for i in (5, 2)]\n"
        "print(hashlib.sha256(''.join(texts).encode()).hexdigest())\n"
        "assert not {'alfworld', 'textworld'} & set(sys.modules)\n"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    printed = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    texts = [generate_game("train", index, seed=3, household="full") for index in (5, 2)]
    assert printed.stdout.strip() == hashlib.sha256("".join(texts).encode()).hexdigest()


def test_another_seed_gives_other_rooms():
    one, other = (
        {parse(generate_game("train", index, seed=seed, household="full")).inventory for index in range(60)}
        for seed in (0, 1)
    )
    assert len(one & other) < len(one) / 2


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("test", 0, 0, "small"), "split 'test'.*train, valid_seen, valid_unseen"),
        (("train", 0, 0, "tiny"), "household 'tiny'.*small, full"),
        (("train", -1, 0, "small"), "-1 is negative"),
    ],
)
def test_wrong_arguments_raise_errors(arguments, problem):
    split, index, seed, household = arguments
    with pytest.raises(ConfigError, match=problem):
        generate_game(split, index, seed=seed, household=household)


def test_catalogue_names_only_receptacles_and_objects_of_rooms():
    receptacles = {
        name
        for room in ROOM_KINDS.values()
        for furnishing in room.furnishing.values()
        for name in (*furnishing.required, *furnishing.optional)
    }
    assert set(BASINS) <= receptacles
    assert {place for kind in OBJECT_KINDS.values() for place in kind.fits} <= receptacles
    assert {name for room in ROOM_KINDS.values() for name in room.objects} == set(OBJECT_KINDS)


def test_ids_and_names():
    assert entity_id("Bed", (1.24, 0.0, -0.904)) == "Bed_bar__plus_01_dot_24_bar__plus_00_dot_00_bar__minus_00_dot_90"
    assert entity_id("Bed", (-0.001, 0.0, 0.0)) == "Bed" + 3 * "_bar__plus_00_dot_00"
    assert location_id(-3, 2, 0, -15) == "loc_bar__minus_3_bar_2_bar_0_bar__minus_15"
    mugs = [entity_id("Mug", (x, 1.0, 0.0)) for x in (-0.5, 0.5, 1.5)]
    sink = entity_id("Sink", (0.0, 1.0, 0.0), part="SinkBasin")
    assert shown_names([*mugs, sink]) == {mugs[0]: "mug 3", mugs[1]: "mug 2", mugs[2]: "mug 1", sink: "sinkbasin 1"}
