"""InterCode-Bash as an environment: tasks, episodes and settings."""

import json

import pytest

from leap_exp.core.errors import ConfigError, DataError, EnvError
from leap_exp.core.types import Task
from leap_exp.envs.intercode_bash import InterCodeBashEnvironment
from leap_exp.envs.intercode_bash.config import InterCodeBashConfig
from leap_exp.envs.intercode_bash.engine.queries import Query
from leap_exp.envs.intercode_bash.teaching.oracle import privileged_facts
from tests.support.sandboxes import skip_without_sandboxes


@pytest.fixture
def folder(tmp_path):
    """A query about each of four file systems, in the authors' format."""
    for number in (1, 2, 3, 4):
        queries = [{"query": "Show the note.", "gold": "cat /desk/note.txt"}]
        (tmp_path / f"nl2bash_fs_{number}.json").write_text(json.dumps(queries))
        entry = {"path": "/desk/note.txt", "mode": "644", "type": "file", "text": "call back\n"}
        (tmp_path / f"fs_{number}.json").write_text(json.dumps([entry]))
    return tmp_path


@pytest.fixture
def environment(folder, data, monkeypatch):
    """Returns a function that makes an environment with the queries of ``folder``."""
    monkeypatch.setenv("LEAP_DATA", str(data))
    skip_without_sandboxes()
    return lambda **settings: InterCodeBashEnvironment(
        InterCodeBashConfig(tasks=str(folder), sandbox="bubblewrap", **settings)
    )


def test_the_right_output_scores_1_and_others_less(environment):
    (task, _) = environment().tasks("test")
    for command, least, most in (("cat desk/note.txt", 1.0, 1.0), ("ls", 0.67, 0.67), ("touch /x", 0.0, 0.5)):
        with environment().open(task, seed=0) as episode:
            assert episode.observation.text == "Show the note."
            assert not episode.step(command).done
            transition = episode.step("submit")
            assert transition.done
            assert least <= round(episode.score(), 2) <= most


def test_the_gold_command_runs_once_for_all_episodes(environment):
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


def test_a_task_id_changes_with_everything_that_its_reward_depends_on(environment, folder):
    (task, _) = environment().tasks("train")
    assert task.id.startswith("intercode_bash/fs_1/0-")
    for name, old, new in (("nl2bash_fs_1.json", "cat", "head"), ("fs_1.json", "call back", "call later")):
        before = (folder / name).read_text()
        (folder / name).write_text(before.replace(old, new))
        changed = environment()
        assert changed.tasks("train")[0].id != task.id
        with pytest.raises(DataError, match="made with other queries"), changed.open(task, seed=0):
            pass
        (folder / name).write_text(before)


def test_unknown_values_are_refused_by_name(environment):
    with pytest.raises(ConfigError, match=r"'valid'.*train, test"):
        environment().tasks("valid")
    with pytest.raises(ConfigError, match="5:"):
        environment(select="5:").tasks("test")
    for name, value in (("select", "first"), ("quoting", "exakt"), ("sandbox", "podmen"), ("base", "moon")):
        with pytest.raises(ConfigError, match=rf"env\.{name}={value}"):
            InterCodeBashConfig(**{name: value})
    stranger = Task(id="webshop/human/0-00000000", split="test", instruction="Buy.", kind="shop")
    with pytest.raises(DataError, match="webshop/human/0"), environment().open(stranger, seed=0):
        pass


def test_an_episode_that_has_ended_accepts_no_action(environment):
    (task, _) = environment().tasks("test")
    with environment().open(task, seed=0) as episode:
        episode.step("submit")
        with pytest.raises(EnvError, match="has ended"):
            episode.step("ls")


def test_the_middle_of_a_long_output_is_not_shown_but_counts_for_the_reward(environment, folder):
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


def test_paths_that_the_query_does_not_mention_are_hidden():
    query = Query(
        id="x", split="train", kind="x", text="Count the lines of list.txt in /desk.", gold="wc -l < /desk/a/list.txt",
        tree="x",
    )  # fmt: skip
    facts = privileged_facts("t", query, "\n".join(str(number) for number in range(50)))
    assert facts.data["hidden_names"] == ["desk/a/list.txt", "wc -l < /desk/a/list.txt"]
    assert "wc -l < /desk/a/list.txt" in facts.text
    assert "[30 lines more]" in facts.text
