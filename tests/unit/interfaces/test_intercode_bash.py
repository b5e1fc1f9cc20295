"""The drop-in for InterCode's BashEnv."""

import json

import numpy as np
import pytest

from leap_exp.core.errors import ConfigError, DataError, EnvError
from leap_exp.envs.intercode_bash.engine.trees import tree_to_json
from leap_exp.interfaces.intercode_bash import BashEnv
from tests.support.sandboxes import TREE, skip_without_sandboxes

QUERIES = [
    {"query": "List the desk.", "gold": "ls /desk"},
    {"query": "Make a note.", "gold": ["echo hi > /desk/new.txt", "cat /desk/note.txt"], "extra": None},
]


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setenv("LEAP_DATA", str(tmp_path / "data"))
    (tmp_path / "nl2bash_fs_1.json").write_text(json.dumps(QUERIES))
    (tmp_path / "fs_1.json").write_text(tree_to_json(TREE))
    return tmp_path


@pytest.fixture
def environment(files):
    skip_without_sandboxes()
    made = BashEnv("intercode-nl2bash", data_path=files / "nl2bash_fs_1.json", traj_dir=files, sandbox="bubblewrap")
    yield made
    made.close()


def test_the_gold_command_gets_the_full_reward(environment):
    assert environment.reset(0) == ("List the desk.", {})
    observation, reward, done, info = environment.step("ls /desk")
    assert (reward, done, info) == (0, False, {"action_executed": True})
    submitted, reward, done, info = environment.step("submit")
    assert (submitted, done) == (observation, True)
    assert reward == pytest.approx(1.0)
    assert info["reward"] == {"file_diff": 0.33, "file_changes": 0.33, "answer_similarity": 0.33}
    assert (info["diff_miss"], info["diff_extra"], info["eval_obs"]) == ([], [], observation)
    assert environment.info["corrupt_gold"] is False


def test_several_gold_commands_and_new_files_are_compared(environment):
    environment.reset(1)
    environment.step("echo hi > /desk/new.txt")
    environment.step("touch /desk/other.txt")
    environment.step("cat /desk/note.txt")
    reward, info = environment.get_reward()
    assert info["diff_extra"] == [("desk/other.txt", "??")]
    assert info["diff_same"] == {"files": [("desk/new.txt", "??")], "correct": 1, "total": 1}
    assert environment.reward == reward == pytest.approx(0.01 + 0.05 + 0.33 + 0.33)


def test_commands_can_follow_a_submission_and_a_reset_forgets_everything(environment):
    environment.reset(0)
    environment.step("cd desk")
    environment.step("rm note.txt")
    environment.step("submit")
    assert environment.step("ls")[0] == "drawer\n"
    assert environment.workdir == "/desk"
    environment.reset(0)
    assert environment.workdir == "/"
    assert "note.txt" in environment.step("ls /desk")[0]
    assert environment.trajectory == [("ls /desk", environment.observation)]


def test_skip_ends_without_a_reward_and_failed_commands_are_told(environment):
    environment.reset(0)
    assert environment.step("cat /none")[3] == {"action_executed": False}
    assert environment.step('echo "')[0] == "Malformed command"
    assert environment.step("skip") == ("skipped", 0, True, {})


def test_a_submitted_trajectory_is_written(environment, files):
    environment.reset(1)
    environment.step("ls /desk")
    environment.step("submit")
    (file,) = (files / "logs_ic_bash").iterdir()
    log = json.loads(file.read_text())
    assert (log["query_idx"], log["query"], log["gold"]) == (1, "Make a note.", QUERIES[1]["gold"])
    assert [step["action"] for step in log["trajectory"]] == ["ls /desk", "submit"]
    assert log["reward"] == environment.reward


def test_a_query_is_drawn_by_numpys_global_generator(environment):
    np.random.seed(0)
    drawn = [environment.reset()[0] for _ in range(6)]
    np.random.seed(0)
    assert [environment.reset()[0] for _ in range(6)] == drawn
    assert len(set(drawn)) == 2
    assert environment.data_loader.get(1) == {name: QUERIES[1][name] for name in ("query", "gold")}


def test_preprocess_runs_before_the_episode(files):
    skip_without_sandboxes()
    path = files / "nl2bash_fs_1.json"
    commands = [["touch /desk/begun"]]
    environment = BashEnv(data_path=path, sandbox="bubblewrap", preprocess=lambda record: commands[0])
    environment.reset(0)
    assert "begun" in environment.step("ls /desk")[0]
    commands[0] = ["false"]
    with pytest.raises(EnvError, match="'false' of preprocess failed"):
        environment.reset(0)
    environment.close()


def test_without_queries_it_is_a_shell(files):
    skip_without_sandboxes()
    environment = BashEnv(file_system=files / "fs_1.json", sandbox="bubblewrap")
    with pytest.raises(EnvError, match="call reset first"):
        environment.step("ls")
    assert environment.reset() == (None, {})
    assert environment.step("cat /desk/note.txt")[0] == "call back\n"
    assert environment.step("submit") == ("call back\n", 0, True, {"action_executed": True})
    with pytest.raises(ConfigError, match="traj_dir"):
        environment.save_trajectory()
    environment.close()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"image_name": "intercode-ctf"}, ConfigError, "'intercode-ctf'"),
        ({"data_path": "none_fs_1.json"}, DataError, "none_fs_1.json"),
        ({"data_path": "pairs.json"}, ConfigError, "give file_system"),
        ({"file_system": 9}, ConfigError, "no file system 9"),
        ({"file_system": 1}, DataError, "leap data install intercode"),
    ],
)
def test_wrong_arguments_are_named(files, arguments, error, message):
    (files / "pairs.json").write_text(json.dumps(QUERIES))
    if "data_path" in arguments:
        arguments = {**arguments, "data_path": files / arguments["data_path"]}
    with pytest.raises(error, match=message):
        BashEnv(**arguments, sandbox="bubblewrap")


def test_a_query_that_does_not_exist_is_named(environment):
    with pytest.raises(DataError, match="no query 5"):
        environment.reset(5)
