"""Games whose task a person wrote, and games in which things must be sliced: students play them, experts decline."""

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from leap_exp.core.errors import ConfigError, DataError, EnvError
from leap_exp.envs.alfworld.builtin import generate_game
from leap_exp.envs.alfworld.config import AlfworldConfig
from leap_exp.envs.alfworld.engine.compare import compare_engines
from leap_exp.envs.alfworld.engine.fast import World, open_fast
from leap_exp.envs.alfworld.engine.game import read_game
from leap_exp.envs.alfworld.teaching.facts import holder
from leap_exp.stages.rollout import rollout
from leap_exp.students.scripted import ExpertPolicy, RandomPolicy

SENTENCES = ('Chill a "red" tomato, please.', "Place the cold tomato inside of it.", "Put a chilled tomato away.")
NAMES = {
    "train": ("pick_cool-B", "pick_cool-A", "pick_cool-C", "pick_clean-Sliced-D", "look-movable-E"),
    "valid_unseen": ("pick_heat-F",),
}


@pytest.fixture
def folder(tmp_path):
    """Games with annotations, as the original's download has them."""
    index = 0
    for split, names in NAMES.items():
        for name in names:
            place = tmp_path / split / name / "trial_T1"
            place.mkdir(parents=True)
            (place / "game.tw-pddl").write_text(generate_game("train", index, seed=3, household="small"))
            (place / "initial_state.pddl").write_text("")
            annotations = [{"task_desc": f"{text} {index}"} for text in SENTENCES]
            params = dict.fromkeys(("object_target", "parent_target", "toggle_target", "mrecep_target"), "Mug")
            data = {
                "task_type": "pick_cool_then_place_in_recep",
                "turk_annotations": {"anns": annotations},
                "pddl_params": {**params, "object_sliced": False},
            }
            (place / "traj_data.json").write_text(json.dumps(data))
            index += 1
    return tmp_path


def instructions(folder, **settings):
    environment = AlfworldConfig(games=str(folder), **settings).build()
    return {task.id: task.instruction for split in NAMES for task in environment.tasks(split)}


def test_every_sentence_is_one_that_a_person_wrote(folder):
    found = instructions(folder, human_goals=1.0)
    for name in ("A", "B", "C"):
        index = NAMES["train"].index(f"pick_cool-{name}")
        assert found[f"alfworld/train/pick_cool-{name}/trial_T1"] in {f"{text} {index}." for text in SENTENCES}
    assert found == instructions(folder, human_goals=1.0)
    assert found != instructions(folder, human_goals=1.0, human_goals_seed=1)
    assert instructions(folder, human_goals=1e-9) == instructions(folder)


@pytest.mark.skipif(find_spec("alfworld") is None, reason="alfworld is not installed")
@pytest.mark.parametrize(("probability", "seed"), [(1.0, 20240229), (0.5, 11)])
def test_the_sentences_are_those_that_the_original_draws(folder, tmp_path_factory, probability, seed):
    generator = Path(sys.executable).with_name("alfworld-generate")
    data = Path(find_spec("alfworld").submodule_search_locations[0]) / "data"
    # The original would write a quotation mark into the grammar as it is, which breaks the game.
    for file in folder.rglob("traj_data.json"):
        file.write_text(file.read_text().replace('\\"', ""))
    theirs = tmp_path_factory.mktemp("theirs") / "games"
    shutil.copytree(folder, theirs)
    command = [
        *(sys.executable, str(generator), "--data_path", str(theirs), "--end", "100", "--seed", str(seed)),
        *("--domain", str(data / "alfred.pddl"), "--grammar", str(data / "alfred.twl2")),
        *("--goal_desc_human_anns_prob", str(probability)),
    ]
    subprocess.run(command, input="y\n", text=True, check=True, capture_output=True)
    original, plain = instructions(theirs), instructions(folder)
    ours = instructions(folder, human_goals=probability, human_goals_seed=seed)
    human = {task for task, sentence in ours.items() if sentence != plain[task]}
    assert len(human) == 4 if probability == 1 else 0 < len(human) < 4
    assert {task: ours[task] for task in human} == {task: original[task] for task in human}
    # What the original words by a template, again by a global generator, keeps the sentence of its release here.
    assert not any(
        original[task].startswith(("Chill", "Place", "Put")) for task in ours.keys() - human if "cool" in task
    )


def test_students_play_them_and_the_expert_declines_them_by_name(folder):
    environment = AlfworldConfig(games=str(folder), human_goals=1.0).build()
    tasks = [task for task in environment.tasks("train") if "cool" in task.id][:1]

    def play(policy):
        (trajectory,) = rollout(
            environment, policy, tasks * 1, seed=0, max_steps=5, batch=1, on_progress=lambda *_: None
        )
        return trajectory

    assert play(RandomPolicy()).score is not None
    with pytest.raises(EnvError, match=rf"declines {tasks[0].id}\. Cannot parse the task sentence"):
        environment.oracle(tasks[0])
    with pytest.raises(EnvError, match=r"All 1 episodes crashed.*declines alfworld/train/pick_cool"):
        play(ExpertPolicy(environment))
    assert "Optimal actions:" in environment.privileged(tasks[0]).text


def test_games_without_annotations_are_named(folder):
    with pytest.raises(ConfigError, match=r"env\.human_goals=0\.5 needs ALFRED's annotations.*set env\.games"):
        AlfworldConfig(human_goals=0.5)
    place = folder / "train" / "pick_cool-A" / "trial_T1" / "traj_data.json"
    place.write_text('{"task_type": "pick_cool_then_place_in_recep"}')
    with pytest.raises(DataError, match=r"pick_cool-A/trial_T1/traj_data\.json has no annotations"):
        AlfworldConfig(games=str(folder), human_goals=1.0).build()
    for file in folder.rglob("traj_data.json"):
        file.unlink()
    with pytest.raises(DataError, match=r"has no traj_data\.json: unpack"):
        AlfworldConfig(games=str(folder), human_goals=1.0).build()


def sliced_game():
    """A game that asks for a sliced tomato on a countertop, and commands that win it."""
    data = json.loads(generate_game("train", 6, seed=0, household="full"))
    goal = "(objectType ?o TomatoType)"
    assert data["pddl_problem"].count(goal) == 1
    data["pddl_problem"] = data["pddl_problem"].replace(goal, f"(sliceable ?o) (isSliced ?o) {goal}")
    sentence = read_game(json.dumps(data)).instruction
    data["grammar"] = data["grammar"].replace(sentence, "put some sliced tomato on countertop.")
    text = json.dumps(data)
    game = read_game(text)
    world = World(game)
    things = {thing.kind: thing for thing in reversed(game.objects)}
    knife = things.get("knife") or things["butterknife"]
    top = next(place.name for place in game.receptacles if place.kind == "countertop")
    commands = []

    def do(command):
        commands.append(command)
        world.step(command)

    def go(place):
        do(f"go to {place}")
        if f"open {place}" in dict(world.admissible()):
            do(f"open {place}")

    places = {name: holder(world, thing.index) for name, thing in (("knife", knife), ("tomato", things["tomato"]))}
    go(places["knife"])
    do(f"take {knife.name} from {places['knife']}")
    go(places["tomato"])
    do(f"slice {things['tomato'].name} with {knife.name}")
    go(top)
    do(f"move {knife.name} to {top}")
    go(places["tomato"])
    do(f"take {things['tomato'].name} from {places['tomato']}")
    assert not world.won
    go(top)
    do(f"move {things['tomato'].name} to {top}")
    assert world.won
    return text, commands


def test_a_sliced_game_is_played_as_in_textworld():
    pytest.importorskip("textworld")
    from leap_exp.envs.alfworld.engine.textworld import TextWorldPlay, memoised_textworld

    text, commands = sliced_game()
    with memoised_textworld():
        found = compare_engines(
            text, TextWorldPlay, open_fast, game_id="sliced", walkthrough=commands, steps=20, seed=2
        )
    assert [str(difference) for difference in found] == []


def test_a_sliced_game_is_declined_by_name_and_its_facts_have_no_wrong_plan(tmp_path):
    text, _ = sliced_game()
    place = tmp_path / "train" / "pick_and_place-Tomato-Sliced" / "trial_T1"
    place.mkdir(parents=True)
    (place / "game.tw-pddl").write_text(text)
    environment = AlfworldConfig(games=str(tmp_path)).build()
    (task,) = environment.tasks("train")
    with pytest.raises(EnvError, match=rf"declines {task.id}: it cannot slice things"):
        environment.oracle(task)
    facts = environment.privileged(task)
    assert facts.data["plan"] == []
    assert "tomato" in facts.text
    assert "Optimal" not in facts.text
