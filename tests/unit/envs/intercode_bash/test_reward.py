"""Episodes and their rewards."""

import math

import pytest

from leap_exp.core.errors import EnvError
from leap_exp.envs.intercode_bash.engine.episode import BashEpisode
from leap_exp.envs.intercode_bash.engine.reward import compute_reward, parse_status, run_gold
from leap_exp.envs.intercode_bash.engine.shell import Quoting
from tests.support.sandboxes import TREE


@pytest.fixture
def play(engine):
    """Returns a function that plays commands for a gold command; it returns the episode and its transitions."""
    engine = engine()

    def run(gold, *commands, shown_characters=2000):
        with engine.open(TREE) as fresh:
            known = run_gold(fresh, gold, Quoting.ORIGINAL)
        with engine.open(TREE) as sandbox:
            episode = BashEpisode(
                sandbox, "Do it.", lambda: [known], quoting=Quoting.ORIGINAL, shown_characters=shown_characters
            )
            transitions = [episode.step(command) for command in commands]
            return episode, transitions

    return run


def test_the_gold_command_scores_1(play):
    episode, transitions = play("wc -l /desk/drawer/list.csv", "ls /desk", "wc -l /desk/drawer/list.csv", "submit")
    assert [transition.reward for transition in transitions] == [0.0, 0.0, 1.0]
    assert [transition.done for transition in transitions] == [False, False, True]
    assert episode.score() == pytest.approx(1.0)


def test_missing_and_unwanted_changes_reduce_the_reward(play):
    episode, _ = play("rm /desk/note.txt", "touch /desk/other.txt", "submit")
    # Two changes differ, none is common, and both outputs are empty.
    assert episode.score() == pytest.approx(0.01 + round(0.33 * (1 - math.erf(2)), 2) + 0.33 + 0.33)


def test_a_new_file_must_have_the_right_contents(play):
    right, _ = play("echo yes > /desk/answer.txt", "printf 'yes\\n' > /desk/answer.txt", "submit")
    wrong, _ = play("echo yes > /desk/answer.txt", "echo no > /desk/answer.txt", "submit")
    assert right.score() == pytest.approx(1.0)
    assert wrong.score() == pytest.approx(0.67)


def test_the_last_output_is_compared_by_its_words(play):
    episode, _ = play("echo red green", "echo red blue", "submit")
    # TF-IDF by hand: a shared word has the weight 1, any other 1 + ln(3/2).
    own = 1 + math.log(1.5)
    assert episode.score() == pytest.approx(0.67 + round(0.33 / (1 + own * own), 2))


def test_skipping_scores_0_and_ends_the_episode(play):
    episode, transitions = play("ls", "skip")
    assert (transitions[-1].done, transitions[-1].observation.text, episode.score()) == (True, "skipped", 0.0)
    with pytest.raises(EnvError, match="has ended"):
        episode.step("ls")


def test_a_long_output_is_shown_in_part_but_counts_in_full(play):
    episode, transitions = play("seq 1000", "seq 1000", "submit", shown_characters=30)
    assert "characters left out" in transitions[0].observation.text
    assert len(transitions[0].observation.text) < 70
    assert episode.score() == pytest.approx(1.0)


def test_a_gold_command_that_cannot_run_gives_no_reward_for_the_output(play):
    episode, _ = play('echo "', "ls", "submit")
    assert episode.score() == pytest.approx(0.67)


def test_git_status_is_split_into_words_as_in_the_original():
    assert parse_status("?? a.txt\n M b\n") == {("a.txt", "??"), ("b", "M")}
    assert parse_status('?? "a b.txt"\n') == {('"a', "??")}


def test_a_reward_lists_the_differing_changes(engine):
    engine = engine()
    with engine.open(TREE) as fresh:
        gold = run_gold(fresh, "touch /desk/new.txt", Quoting.ORIGINAL)
    with engine.open(TREE) as sandbox:
        reward = compute_reward(sandbox, "", gold)
    assert (reward.missing, reward.extra) == ({("desk/new.txt", "??")}, frozenset())
