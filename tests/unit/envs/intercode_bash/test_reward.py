import math

import pytest

from leap_exp.core.errors import EnvError
from leap_exp.envs.intercode_bash.episode import BashEpisode
from leap_exp.envs.intercode_bash.reward import judge, parse_status, run_gold
from leap_exp.envs.intercode_bash.shell import Quoting
from tests.sandboxes import TREE


@pytest.fixture
def play(engine):
    """An episode of commands against a gold command; returns it and its last transition."""
    engine = engine()

    def run(gold, *commands, shown_characters=2000):
        with engine.open(TREE) as fresh:
            known = run_gold(fresh, gold, Quoting.ORIGINAL)
        with engine.open(TREE) as sandbox:
            episode = BashEpisode(
                sandbox, "Do it.", lambda: known, quoting=Quoting.ORIGINAL, shown_characters=shown_characters
            )
            transitions = [episode.step(command) for command in commands]
            return episode, transitions

    return run


def test_the_gold_command_itself_is_worth_1(play):
    episode, transitions = play("wc -l /desk/drawer/list.csv", "ls /desk", "wc -l /desk/drawer/list.csv", "submit")
    assert [transition.reward for transition in transitions] == [0.0, 0.0, 1.0]
    assert [transition.done for transition in transitions] == [False, False, True]
    assert episode.score() == pytest.approx(1.0)


def test_changes_that_are_missing_or_too_many_cost_by_their_number(play):
    episode, _ = play("rm /desk/note.txt", "touch /desk/other.txt", "submit")
    # Two changes differ; there is no common one; both outputs are empty.
    assert episode.score() == pytest.approx(0.01 + round(0.33 * (1 - math.erf(2)), 2) + 0.33 + 0.33)


def test_a_new_file_must_have_the_right_contents(play):
    right, _ = play("echo yes > /desk/answer.txt", "printf 'yes\\n' > /desk/answer.txt", "submit")
    wrong, _ = play("echo yes > /desk/answer.txt", "echo no > /desk/answer.txt", "submit")
    assert right.score() == pytest.approx(1.0)
    assert wrong.score() == pytest.approx(0.67)


def test_the_last_output_is_compared_by_its_words(play):
    episode, _ = play("echo red green", "echo red blue", "submit")
    # tf-idf by hand: a shared word weighs 1, one of its own 1 + ln(3/2).
    own = 1 + math.log(1.5)
    assert episode.score() == pytest.approx(0.67 + round(0.33 / (1 + own * own), 2))


def test_skipping_is_worth_nothing_and_nothing_comes_after_the_end(play):
    episode, transitions = play("ls", "skip")
    assert (transitions[-1].done, transitions[-1].observation.text, episode.score()) == (True, "skipped", 0.0)
    with pytest.raises(EnvError, match="over"):
        episode.step("ls")


def test_a_long_output_is_shown_in_part_and_judged_whole(play):
    episode, transitions = play("seq 1000", "seq 1000", "submit", shown_characters=30)
    assert "characters left out" in transitions[0].observation.text
    assert len(transitions[0].observation.text) < 70
    assert episode.score() == pytest.approx(1.0)


def test_a_gold_command_that_cannot_be_run_leaves_nothing_to_compare(play):
    episode, _ = play('echo "', "ls", "submit")
    assert episode.score() == pytest.approx(0.67)


def test_status_is_read_by_words_as_in_the_original():
    assert parse_status("?? a.txt\n M b\n") == {("a.txt", "??"), ("b", "M")}
    assert parse_status('?? "a b.txt"\n') == {('"a', "??")}


def test_the_reward_says_what_differs(engine):
    engine = engine()
    with engine.open(TREE) as fresh:
        gold = run_gold(fresh, "touch /desk/new.txt", Quoting.ORIGINAL)
    with engine.open(TREE) as sandbox:
        reward = judge(sandbox, "", gold)
    assert (reward.missing, reward.extra) == ({("desk/new.txt", "??")}, frozenset())
