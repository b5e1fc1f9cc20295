"""InterCode-Bash as an environment: tasks, episodes and settings."""

import json

import pytest

from leap_exp.core.errors import ConfigError, DataError, EnvError
from leap_exp.core.protocols import Policy
from leap_exp.core.types import Decision, Task
from leap_exp.envs.intercode_bash import InterCodeBashEnvironment
from leap_exp.envs.intercode_bash.config import InterCodeBashConfig
from leap_exp.envs.intercode_bash.engine.queries import Query
from leap_exp.envs.intercode_bash.teaching.oracle import privileged_facts
from leap_exp.stages.rollout import rollout
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


@pytest.mark.parametrize(
    ("quoting", "shown"), [("original", "Command timed out"), ("exact", "Killed: it wrote too much.")]
)
def test_each_quoting_says_what_became_of_a_command_that_never_stops_writing(environment, quoting, shown):
    environment = environment(quoting=quoting, command_seconds=1)
    (task, _) = environment.tasks("test")
    with environment.open(task, seed=0) as episode:
        text = episode.step(r"yes | tr -d '\n'").observation.text
        assert text.endswith(shown)
        assert (text == shown) == (quoting == "original")
        assert episode.step("cat /desk/note.txt").observation.text == "call back\n"


def test_a_query_whose_gold_command_is_killed_cannot_be_scored(environment, folder):
    (folder / "nl2bash_fs_3.json").write_text(json.dumps([{"query": "Wait.", "gold": "echo so far; sleep 30"}]))
    environment = environment(command_seconds=0.5)
    (waiting, note) = environment.tasks("test")
    trajectories = rollout(
        environment, Submitting(), [waiting, note], seed=0, max_steps=2, batch=2, on_progress=lambda *_: None
    )
    assert [trajectory.score is None for trajectory in trajectories] == [True, False]
    assert "gold command of fs_3/0 was killed because it used too much time" in trajectories[0].error
    with pytest.raises(EnvError, match="cannot be scored: echo so far; sleep 30"):
        environment.privileged(waiting)


class Submitting(Policy):
    id = "submitting"

    def act(self, views, *, seed):
        return [Decision(reason="", action="submit")] * len(views)


@pytest.mark.parametrize("wrong", [{"gold": ["ls", "-l"]}, {"query": None}, {"gold": " "}, {"query": 7}, "ls", None])
def test_an_entry_without_two_texts_is_left_out_named_and_counted(environment, folder, wrong, caplog):
    good = {"query": "Show the note.", "gold": "cat /desk/note.txt"}
    broken = {**good, **wrong} if isinstance(wrong, dict) else wrong
    (folder / "nl2bash_fs_3.json").write_text(json.dumps([good, broken, good]))
    tasks = environment().tasks("test")
    assert [task.id.partition("-")[0] for task in tasks] == [
        f"intercode_bash/{name}" for name in ("fs_3/0", "fs_3/2", "fs_4/0")
    ]
    assert "1 of the 3 entries of" in caplog.text
    assert "first entry 1" in caplog.text


def test_a_file_without_any_query_is_an_error(environment, folder):
    (folder / "nl2bash_fs_3.json").write_text(json.dumps([{"query": None, "gold": "ls"}]))
    with pytest.raises(DataError, match=r"nl2bash_fs_3\.json has no entry"):
        environment().tasks("test")


def test_with_exact_quoting_bytes_that_are_no_text_count_like_those_of_the_gold_command(environment, folder):
    gold = r"printf 'ready\xff\n'"
    (folder / "nl2bash_fs_3.json").write_text(json.dumps([{"query": "Print.", "gold": gold}]))
    for quoting, score in (("exact", 1.0), ("original", 0.67)):
        environment_ = environment(quoting=quoting)
        (task, _) = environment_.tasks("test")
        with environment_.open(task, seed=0) as episode:
            episode.step(gold)
            episode.step("submit")
            assert episode.score() == pytest.approx(score)
