"""Demonstrations in the authors' format, which the tests record by playing."""

import json
import zipfile

import pytest

from leap_exp.core.errors import ConfigError, DataError
from leap_exp.core.types import Trajectory
from leap_exp.envs.webshop.commands import import_demonstrations
from leap_exp.envs.webshop.config import WebShopConfig
from leap_exp.envs.webshop.environment import WebShopEnvironment
from leap_exp.envs.webshop.human_demonstrations import Dropped, read_human_demonstrations
from leap_exp.runs import read_records
from leap_exp.stages.demonstrations import imitate
from tests.support.webshop_files import option, record, small_catalogue

COUNT = 10
COLOURS = ("Red", "Dark Blue")


@pytest.fixture
def folder(tmp_path):
    """A catalogue of mugs, each with a human instruction; two of the goals are in the test split."""
    asins = [f"B00000000{number}" for number in range(COUNT)]
    small_catalogue(
        tmp_path,
        records=[
            record(asin, f"Mug No. {number} [large]", customization_options={"Color": option(*COLOURS)})
            for number, asin in enumerate(asins)
        ],
        attributes={asin: {"attributes": ["easy clean"]} for asin in asins},
        instructions={
            asin: [
                {
                    "instruction": f'I\'m after the "mug" number {number}.',
                    "instruction_attributes": ["easy clean"],
                    "instruction_options": ["dark blue"],
                }
            ]
            for number, asin in enumerate(asins)
        },
    )
    return tmp_path / "catalogue"


@pytest.fixture
def environment(folder):
    return WebShopEnvironment(WebShopConfig(catalogue=str(folder)))


def number_in(task):
    return int(task.instruction.split(" number ")[1][0])


def shopping(task):
    """Return actions that buy the mug of ``task``."""
    asin = f"b00000000{number_in(task)}"
    return [
        "search[Mug No.]",
        f"click[{asin}]",
        "click[features]",
        "click[< prev]",
        "click[dark blue]",
        "click[buy now]",
    ]


def demonstration(folder, task, actions, *, wording=None):
    """Return a line of the authors' file: pages in mode text_rich, and results by id."""
    rich = WebShopEnvironment(WebShopConfig(catalogue=str(folder), observation="text_rich", item_names=False))
    states, available, places = [], [], []
    with rich.open(task, seed=0) as episode:
        for action in actions:
            observation = episode.observation
            clicks = [each for each in observation.admissible_actions if each.startswith("click[")]
            states.append(observation.text)
            available.append(clicks)
            places.append(clicks.index(action) if action in clicks else -1)
            if not episode.score():
                episode.step(action)
    first = f"Amazon Shopping Game\nInstruction: \n{wording or task.instruction}\n[button] Search [button_]"
    return {
        "states": [first, *states[1:]],
        "actions": actions,
        "actions_translate": [action.replace("click[b00000000", "click[item - mug no. ") for action in actions],
        "available_actions": available,
        "action_idxs": places,
        "images": [0] * len(actions),
    }


def write(path, *lines):
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def test_a_demonstration_is_replayed_on_this_engine(folder, environment, tmp_path):
    task = environment.tasks("train")[0]
    source = write(tmp_path / "people.jsonl", demonstration(folder, task, shopping(task)))
    (trajectory,) = read_human_demonstrations(source, environment).trajectories
    assert trajectory.task == task
    assert (trajectory.policy_id, trajectory.score) == ("human", 1.0)
    number = number_in(task)
    assert [step.decision.action for step in trajectory.steps] == [
        *("search[mug no.]", f"click[mug no. {number} [large]]", "click[features]", "click[< prev]"),
        *("click[dark blue]", "click[buy now]"),
    ]
    assert trajectory.steps[0].observation.text.startswith("WebShop [SEP] Instruction: [SEP] I'm after")
    assert trajectory.steps[1].observation.admissible_actions[2].startswith("click[mug no. ")
    assert len(imitate([trajectory])) == 1


def test_ids_are_kept_if_results_are_clicked_by_id(folder, tmp_path):
    plain = WebShopEnvironment(WebShopConfig(catalogue=str(folder), item_names=False))
    task = plain.tasks("train")[0]
    source = write(tmp_path / "people.jsonl", demonstration(folder, task, shopping(task)))
    (trajectory,) = read_human_demonstrations(source, plain).trajectories
    assert trajectory.steps[1].decision.action == shopping(task)[1]


def test_a_goal_is_found_by_its_wording_without_price_limit_and_quotation_marks(folder, environment, tmp_path):
    tasks = environment.tasks("train")
    wordings = [
        f"i'm after the mug number {number_in(tasks[0])}, and price lower than 990.00 dollars",
        f'Im after  the "MUG" number {number_in(tasks[1])}.',
    ]
    lines = [
        demonstration(folder, task, shopping(task), wording=wording)
        for task, wording in zip(tasks, wordings, strict=False)
    ]
    found = read_human_demonstrations(write(tmp_path / "people.jsonl", *lines), environment)
    assert [trajectory.task for trajectory in found.trajectories] == list(tasks[:2])


def test_what_cannot_be_replayed_is_dropped_and_counted(folder, environment, tmp_path):
    task, held_out = environment.tasks("train")[0], environment.tasks("test")[0]
    good = shopping(task)
    source = write(
        tmp_path / "people.jsonl",
        demonstration(folder, held_out, shopping(held_out)),
        demonstration(folder, task, good, wording="i want a moon"),
        demonstration(folder, task, ["search[mug no.]", "click[b000000777]", "click[buy now]"]),
        demonstration(folder, task, [good[0], "search[mug]", *good[1:]]),
        demonstration(folder, task, [*good, "click[buy now]"]),
        demonstration(folder, task, good[:-1]),
        demonstration(folder, task, good),
    )
    found = read_human_demonstrations(source, environment)
    assert found.dropped == {
        Dropped.OTHER_SPLIT: 1,
        Dropped.NO_GOAL: 1,
        Dropped.NOT_POSSIBLE: 3,
        Dropped.NOT_FINISHED: 1,
    }
    assert len(found.trajectories) == 1
    (other,) = read_human_demonstrations(source, environment, split="test").trajectories
    assert other.task == held_out


def test_the_command_writes_demonstrations_for_a_run(folder, environment, tmp_path, capsys):
    task = environment.tasks("train")[0]
    lines = [demonstration(folder, task, shopping(task), wording=wording) for wording in (None, "i want a moon")]
    source = write(tmp_path / "people.jsonl", *lines)
    archive = tmp_path / "people.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("__MACOSX/._people.jsonl", b"\xff")
        packed.write(source, "people.jsonl")
    for number, file in enumerate((source, archive)):
        target = tmp_path / f"{number}.jsonl"
        import_demonstrations(file, target, catalogue=str(folder))
        shown = capsys.readouterr().out
        assert "1 dropped, for a goal that this catalogue does not have" in shown
        assert "1 taken, 1 of them with the full reward" in shown
        (trajectory,) = read_records(target).of(Trajectory)
        assert trajectory.task == task


@pytest.mark.parametrize(
    "line", ['{"states": ["Instr', "[]", "3", '{"states": ["x"]}', '{"states": [], "actions": ["search[x]"]}']
)
def test_a_broken_line_is_named_and_nothing_is_written(folder, environment, tmp_path, line):
    task = environment.tasks("train")[0]
    source = write(tmp_path / "people.jsonl", demonstration(folder, task, shopping(task)))
    source.write_text(f"{source.read_text()}\n{line}")
    target = tmp_path / "out.jsonl"
    with pytest.raises(DataError, match=r"people\.jsonl, line 3"):
        import_demonstrations(source, target, catalogue=str(folder))
    assert not target.exists()


def test_a_file_without_usable_demonstrations_is_one_clear_error(folder, environment, tmp_path):
    task = environment.tasks("train")[0]
    source = write(tmp_path / "people.jsonl", demonstration(folder, task, shopping(task), wording="i want a moon"))
    target = tmp_path / "out.jsonl"
    with pytest.raises(DataError, match="no demonstrations for the train goals"):
        import_demonstrations(source, target, catalogue=str(folder))
    assert not target.exists()
    with pytest.raises(DataError, match=r"none\.jsonl"):
        read_human_demonstrations(tmp_path / "none.jsonl", environment)
    with pytest.raises(ConfigError, match="choose one of"):
        read_human_demonstrations(source, environment, split="valid_unseen")
