import json

import pytest

from leap_exp.core.errors import DataError
from leap_exp.envs.alfworld.builtin import generate_game
from leap_exp.envs.alfworld.engine import game_file
from leap_exp.envs.alfworld.engine.game import read_game
from leap_exp.envs.alfworld.engine.game_file import GameFile, read_file, read_task
from leap_exp.envs.alfworld.engine.grammar import with_task
from leap_exp.envs.alfworld.engine.wording import worded
from tests.support.alfworld_games import needs_archive, official_texts

TEXTS = [generate_game("train", index, seed=0, household="full") for index in range(4)]


@pytest.fixture(autouse=True)
def _no_frames():
    game_file._FRAMES.clear()


@pytest.fixture
def only_frames(monkeypatch):
    """After a call of this, no file can be parsed as a whole."""

    def never(_text):
        raise AssertionError("the file was parsed as a whole")

    return lambda: monkeypatch.setattr(game_file, "_read_whole", never)


def whole(text: str) -> GameFile:
    """Read a text without the frames of others, and make its own."""
    game_file._FRAMES.clear()
    return read_file(text)


def changed(text: str, **changes) -> str:
    data = json.loads(text)
    return json.dumps(data | {key: change(data[key]) for key, change in changes.items()})


def told(sentence: str) -> str:
    return changed(TEXTS[1], grammar=lambda grammar: with_task(grammar, sentence))


def test_games_that_share_a_frame_are_read_as_if_alone(only_frames):
    alone = [whole(text) for text in TEXTS]
    only_frames()
    assert [read_file(text) for text in TEXTS] == alone
    assert [read_task(text) for text in TEXTS] == [(file.task_text, file.goal) for file in alone]


@needs_archive
def test_official_games_share_a_frame(only_frames):
    texts = [text for _, text in official_texts(40)]
    alone = [whole(text) for text in texts]
    only_frames()
    assert [read_file(text) for text in texts] == alone
    assert [read_task(text) for text in texts] == [(file.task_text, file.goal) for file in alone]


@pytest.mark.parametrize(
    "text",
    [
        TEXTS[1],
        told('put a "mug" on it'),
        told("put a caf\u00e9 mug \\ on it"),
        told("put a mug\non it"),
        worded(TEXTS[1], "put"),
        changed(TEXTS[1], pddl_domain=lambda domain: domain + "; a comment\n"),
        changed(TEXTS[1], pddl_problem=lambda problem: problem.replace("(:goal", "; (:goal\n(:goal")),
        changed(TEXTS[1], pddl_problem=lambda problem: problem.replace("(:goal", '; "\n(:goal')),
        changed(TEXTS[1], pddl_problem=lambda problem: problem.replace("\n", "\t\r\n")),
        changed(TEXTS[1], pddl_problem=str.upper),
        changed(TEXTS[1], walkthrough=lambda _commands: []),
        json.dumps(json.loads(TEXTS[1]), indent=2, ensure_ascii=False),
        json.dumps(dict(reversed(json.loads(TEXTS[1]).items()))),
        f'{TEXTS[1].rstrip()[:-1]}, "pddl_problem": {json.dumps(json.loads(TEXTS[2])["pddl_problem"])}}}',
        f'{TEXTS[1].rstrip()[:-1]}, "grammar": {json.dumps(json.loads(told("look"))["grammar"])}}}',
    ],
)
def test_a_frame_of_another_game_changes_nothing(text):
    alone = whole(text)
    for other in (TEXTS[0], worded(TEXTS[0], "put")):
        whole(other)
        assert read_file(text) == alone
        assert read_task(text) == (alone.task_text, alone.goal)


def test_few_frames_are_kept_and_each_once():
    for count in range(8):
        text = changed(TEXTS[0], pddl_domain=lambda domain, count=count: f"{domain}; {count}\n")
        read_file(text)
        read_file(text)
    assert len(set(game_file._FRAMES)) == len(game_file._FRAMES) == game_file._MOST_FRAMES


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TEXTS[1][:-40], "broken"),
        (TEXTS[1].rstrip()[:-1], "broken"),
        (changed(TEXTS[1], pddl_problem=lambda problem: problem.replace("(:init", "(:start")), r"\(:init"),
        (
            changed(TEXTS[1], pddl_problem=lambda problem: problem.replace("(pickupable ", "(pickupable a ", 1)),
            "numbers of",
        ),
    ],
)
def test_a_broken_game_is_refused_with_a_frame_as_without(text, message):
    for frame in (False, True):
        if frame:
            whole(TEXTS[0])
        with pytest.raises(DataError, match=f"(?s)game 7.*{message}"):
            read_game(text, game_id="game 7")
