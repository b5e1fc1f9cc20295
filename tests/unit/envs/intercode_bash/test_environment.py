"""Requests as tasks, sandboxes as episodes."""

import json

import pytest

from leap_exp.core.errors import ConfigError, DataError, EnvError
from leap_exp.core.types import Task
from leap_exp.envs.intercode_bash import InterCodeBashEnvironment
from leap_exp.envs.intercode_bash.facts import privileged_facts
from leap_exp.envs.intercode_bash.requests import Request
from tests.sandboxes import skip_without_sandboxes


@pytest.fixture
def folder(tmp_path):
    """A request of each of the authors' file systems."""
    for number in (1, 2, 3, 4):
        requests = [{"query": "Show the note.", "gold": "cat /desk/note.txt"}]
        (tmp_path / f"nl2bash_fs_{number}.json").write_text(json.dumps(requests))
        entry = {"path": "/desk/note.txt", "mode": "644", "type": "file", "text": "call back\n"}
        (tmp_path / f"fs_{number}.json").write_text(json.dumps([entry]))
    return tmp_path


@pytest.fixture
def environment(folder, data, monkeypatch):
    """The requests of ``folder`` in sandboxes."""
    monkeypatch.setenv("LEAP_DATA", str(data))
    skip_without_sandboxes()
    return lambda **settings: InterCodeBashEnvironment(tasks=str(folder), sandbox="bubblewrap", **settings)


def test_an_answer_is_worth_1_and_what_differs_from_it_less(environment):
    (task, _) = environment().tasks("test")
    for command, least, most in (("cat desk/note.txt", 1.0, 1.0), ("ls", 0.67, 0.67), ("touch /x", 0.0, 0.5)):
        with environment().open(task, seed=0) as episode:
            assert episode.observation.text == "Show the note."
            assert not episode.step(command).done
            transition = episode.step("submit")
            assert transition.done
            assert least <= round(episode.score(), 2) <= most


def test_a_gold_command_is_run_once_however_many_submit(environment):
    environment = environment()
    (task, _) = environment.tasks("test")
    opened = []
    engine_open = environment.engine.open
    environment.engine.open = lambda tree: opened.append(tree.name) or engine_open(tree)
    for _ in range(3):
        with environment.open(task, seed=0) as episode:
            episode.step("submit")
    environment.privileged(task)
    environment.oracle(task)
    assert len(opened) == 4


def test_a_task_s_id_changes_with_all_that_its_reward_depends_on(environment, folder):
    (task, _) = environment().tasks("train")
    assert task.id.startswith("intercode_bash/fs_1/0-")
    for name, old, new in (("nl2bash_fs_1.json", "cat", "head"), ("fs_1.json", "call back", "call later")):
        before = (folder / name).read_text()
        (folder / name).write_text(before.replace(old, new))
        changed = environment()
        assert changed.tasks("train")[0].id != task.id
        with pytest.raises(DataError, match="of other requests"), changed.open(task, seed=0):
            pass
        (folder / name).write_text(before)


def test_what_is_not_there_is_refused_by_name(environment):
    with pytest.raises(ConfigError, match=r"'valid'.*train, test"):
        environment().tasks("valid")
    with pytest.raises(ConfigError, match="5:"):
        environment(select="5:").tasks("test")
    with pytest.raises(ConfigError, match="first"):
        environment(select="first")
    with pytest.raises(ConfigError, match="exakt"):
        environment(quoting="exakt")
    with pytest.raises(ConfigError, match="podmen"):
        _ = InterCodeBashEnvironment(sandbox="podmen").engine
    stranger = Task(id="webshop/human/0-00000000", split="test", instruction="Buy.", kind="shop")
    with pytest.raises(DataError, match="webshop/human/0"), environment().open(stranger, seed=0):
        pass


def test_an_episode_that_is_over_takes_no_more(environment):
    (task, _) = environment().tasks("test")
    with environment().open(task, seed=0) as episode:
        episode.step("submit")
        with pytest.raises(EnvError, match="over"):
            episode.step("ls")


def test_the_middle_of_a_long_output_is_left_out_but_judged(environment, folder):
    (folder / "nl2bash_fs_3.json").write_text(json.dumps([{"query": "Count.", "gold": "seq 1000"}]))
    environment = environment(shown_characters=100)
    (task, _) = environment.tasks("test")
    with environment.open(task, seed=0) as episode:
        text = episode.step("seq 1000").observation.text
        assert len(text) < 150
        assert "characters left out" in text
        assert text.endswith("1000\n")
        episode.step("submit")
        assert episode.score() == pytest.approx(1.0)


def test_what_the_request_does_not_mention_is_hidden():
    request = Request(
        id="x", split="train", kind="x", query="Count the lines of list.txt in /desk.", gold="wc -l < /desk/a/list.txt",
        tree="x",
    )  # fmt: skip
    facts = privileged_facts("t", request, "\n".join(str(number) for number in range(50)))
    assert facts.data["hidden_names"] == ["desk/a/list.txt", "wc -l < /desk/a/list.txt"]
    assert "wc -l < /desk/a/list.txt" in facts.text
    assert "[30 lines more]" in facts.text
