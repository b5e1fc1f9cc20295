import json

import pytest

from leap_exp.core.errors import DataError
from leap_exp.envs.alfworld.builtin import generate_game
from leap_exp.envs.alfworld.engine.fast import World
from leap_exp.envs.alfworld.engine.game import read_game, read_summary
from leap_exp.envs.alfworld.engine.goal import TASK_TYPES
from tests.support.alfworld_games import builtin_games, needs_archive, official_texts


def _text(**changes):
    data = json.loads(generate_game("train", 0, seed=0, household="small"))
    for key, change in changes.items():
        assert change(data[key]) != data[key], "the change must change something"
        data[key] = change(data[key])
    return json.dumps(data)


def _replacing(old, new):
    return lambda text: text.replace(old, new)


def test_goals_of_all_task_types_are_read():
    goals = {game.goal.task_type: game.goal for game in builtin_games(6)}
    assert set(goals) == set(TASK_TYPES)
    assert [goals[f"pick_{verb}_then_place_in_recep"].needs for verb in ("clean", "heat", "cool")] == [
        "clean",
        "hot",
        "cool",
    ]
    assert goals["pick_two_obj_and_place"].count == 2
    light = goals["look_at_obj_in_light"]
    assert light.lamp_kind in {"desklamp", "floorlamp"}
    assert light.receptacle_kind == ""
    simple = goals["pick_and_place_simple"]
    assert simple.object_kind
    assert simple.receptacle_kind
    assert simple.lamp_kind == ""


def test_numbers_fall_as_ids_rise():
    (game,) = builtin_games(1, household="full")
    by_kind = {}
    for receptacle in game.receptacles:
        by_kind.setdefault(receptacle.kind, []).append(int(receptacle.name.split()[-1]))
    assert all(numbers == list(range(len(numbers), 0, -1)) for numbers in by_kind.values())
    assert [receptacle.id for receptacle in game.receptacles] == sorted(place.id for place in game.receptacles)


def test_basins_are_shown_as_basins():
    kinds = {place.kind for game in builtin_games(12, household="full") for place in game.receptacles}
    assert "sinkbasin" in kinds
    assert not {"sink", "sinkbasinbasin"} & kinds


def test_summary_agrees_with_the_game():
    for index in range(6):
        text = generate_game("valid_seen", index, seed=3, household="small")
        game = read_game(text)
        assert read_summary(text, game_id="g") == (game.instruction, game.goal.task_type)


@needs_archive
def test_official_walkthroughs_win():
    for name, text in official_texts(60):
        game = read_game(text)
        world = World(game)
        for command in game.walkthrough:
            assert not world.won
            world.step(command)
        assert world.won, name


def test_the_older_command_form_comes_from_the_grammar():
    text = _text(grammar=_replacing('"move {o} to {r}"', '"put {o} in/on {r}"'))
    world = World(read_game(text))
    for command in world.game.walkthrough[:-1]:
        world.step(command)
    put = world.game.walkthrough[-1].replace("move ", "put ").replace(" to ", " in/on ")
    assert put in [command for command, _ in world.admissible()]
    world.step(put)
    assert world.won


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not"),
        ("{", "broken"),
        ("[]", "broken"),
        (json.dumps({"grammar": "x"}), "pddl_domain"),
        (_text(pddl_domain=_replacing("(not (holdsAny ?a))", "")), "pickupobject.*engine=textworld"),
        (_text(pddl_domain=_replacing("(:action help", "(:action aid")), "action 'aid'"),
        (_text(pddl_problem=_replacing("(:goal", "(:gaol")), r"\(:goal"),
        (_text(pddl_problem=_replacing("(openable ", "(opaque ")), "opaque"),
        (_text(pddl_problem=lambda problem: problem[: problem.rindex("inReceptacle")]), "parentheses"),
        (_text(pddl_problem=_replacing("(exists (?r - receptacle)", "(forall (?r - receptacle)")), "forall"),
        (_text(grammar=_replacing("Your task is to", "You have to")), "Your task is to"),
        (_text(grammar=_replacing("opened(r:receptacle)", "ajar(r:receptacle)")), "ajar.*engine=textworld"),
        (_text(grammar=_replacing("action GotoLocation", "action Walk")), "gotolocation"),
        (_text(grammar=_replacing("{o.name}", "{o.name.upper()}")), "upper"),
    ],
)
def test_error_for_a_broken_game_names_it(text, message):
    with pytest.raises(DataError, match=f"(?s)game 7.*{message}"):
        read_game(text, game_id="game 7")


def test_error_for_a_missing_file_names_its_path(tmp_path):
    with pytest.raises(DataError, match="nowhere"):
        read_game(tmp_path / "nowhere" / "game.tw-pddl")
