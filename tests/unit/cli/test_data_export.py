"""``leap data export``: rows with facts and exact labels, which datasets' and TRL's own loaders read."""

import json

import pytest

from leap_exp.analysis.labels import step_labels
from leap_exp.cli import data
from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import Decision, Step, StopReason, Trajectory, views
from leap_exp.envs.alfworld.config import AlfworldConfig


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    target = tmp_path_factory.mktemp("export")
    assert data.main(["export", "alfworld", "--to", str(target), "--tasks", "6"]) == 0
    return target


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_rows_have_facts_and_exact_labels(folder):
    rows = lines(folder / "trajectories.jsonl")
    assert {row["kind"] for row in rows} == {"expert", "corrected"}
    assert all(row["facts"] and json.loads(row["facts_json"]) for row in rows)
    expert = [row for row in rows if row["kind"] == "expert"]
    assert len(expert) == 6
    for row in expert:
        left = [step["steps_left"] for step in row["steps"]]
        # Each step shortens the solution by one and what it did not waste.
        after = [before - 1 + step["wasted_steps"] for before, step in zip(left, row["steps"], strict=True)]
        assert after == [*left[1:], 0]
        assert [step["is_best"] for step in row["steps"]] == [step["wasted_steps"] == 0 for step in row["steps"]]
    corrected = [step for row in rows if row["kind"] == "corrected" for step in row["steps"]]
    assert any(step["wasted_steps"] for step in corrected)
    assert all((step["teacher_action"] != step["action"]) == step["is_changed"] for step in corrected)


def test_datasets_reads_every_configuration_of_the_folder(folder, tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets", reason="reads what was exported")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    for name, columns in {
        "trajectories": {"task", "facts", "steps"},
        "messages": {"messages"},
        "prompt_completion": {"prompt", "completion"},
        "preference": {"prompt", "chosen", "rejected"},
    }.items():
        loaded = datasets.load_dataset(str(folder), name, split="train", cache_dir=str(tmp_path))
        assert columns <= set(loaded.column_names)
        assert len(loaded) > 0
    file = str(folder / "trajectories.parquet")
    parquet = datasets.load_dataset("parquet", data_files=file, split="train", cache_dir=str(tmp_path))
    assert [row["task"] for row in parquet] == [row["task"] for row in lines(folder / "trajectories.jsonl")]


def test_trl_takes_the_chat_rows(folder):
    data_utils = pytest.importorskip("trl.data_utils", reason="reads what was exported")
    from leap_exp.students.weights import load_tokenizer

    tokenizer = load_tokenizer("tiny")
    for name, keys in {
        "messages": {"text"},
        "prompt_completion": {"prompt", "completion"},
        "preference": {"prompt", "chosen", "rejected"},
    }.items():
        row = lines(folder / f"chat_{name}.jsonl")[0]
        assert data_utils.is_conversational(row)
        applied = data_utils.apply_chat_template(row, tokenizer)
        assert keys <= set(applied)
        assert all(applied[key] for key in keys)
    preference = data_utils.apply_chat_template(lines(folder / "chat_preference.jsonl")[0], tokenizer)
    assert preference["chosen"] != preference["rejected"]
    assert "REASON:" in preference["chosen"]


def test_the_datasheet_says_what_it_is(folder):
    text = (folder / "README.md").read_text()
    assert "license: mit" in text
    assert "leap data export alfworld --tasks 6 --disclosure p50 --noise 0.5 --seed 0" in text
    assert all(f"`{path.name}`" in text for path in folder.iterdir() if path.name != "README.md")


def test_the_same_command_gives_the_same_files(folder, tmp_path):
    assert data.main(["export", "alfworld", "--to", str(tmp_path), "--tasks", "6"]) == 0
    for path in folder.glob("*.jsonl"):
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_other_environments_have_no_exact_costs(tmp_path):
    assert data.main(["export", "webshop", "--to", str(tmp_path), "--tasks", "2"]) == 0
    rows = lines(tmp_path / "trajectories.jsonl")
    assert {step["steps_left"] for row in rows for step in row["steps"]} == {None}
    assert "are null" in (tmp_path / "README.md").read_text()


def test_tasks_of_others_are_not_exported(tmp_path, capsys):
    assert data.main(["export", "alfworld", "--to", str(tmp_path), "env.games=official"]) == 1
    assert "is not exported" in capsys.readouterr().err
    assert data.main(["export", "alfworld", "--to", str(tmp_path), "rounds=1"]) == 1
    assert data.main(["export", "nothing", "--to", str(tmp_path)]) == 1


def test_labels_of_a_step_that_changes_nothing_and_of_an_unknown_one():
    environment = AlfworldConfig().build()
    task = environment.tasks("train")[0]
    with environment.open(task, seed=0) as episode:
        first = episode.observation
    wasted = Step(observation=first, decision=Decision(reason="", action="dance"), reward=0)
    nothing = Trajectory(task=task, policy_id="x", seed=0, steps=(wasted,), stop=StopReason.STEP_LIMIT, score=0.0)
    (label,) = step_labels(environment, nothing)
    values = environment.oracle(task).action_values(views(nothing)[0], Disclosure.P100)
    assert label.steps_left == 1 - max(values.values())
    assert (label.wasted_steps, label.is_best) == (1, False)
