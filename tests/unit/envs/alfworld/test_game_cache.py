import multiprocessing
import random

import pytest

from leap_exp.core.errors import DataError
from leap_exp.envs.alfworld import AlfworldEnvironment, game_cache
from leap_exp.envs.alfworld.builtin import generate_game
from leap_exp.envs.alfworld.config import AlfworldConfig
from leap_exp.envs.alfworld.engine.fast import FastPlay
from leap_exp.envs.alfworld.engine.game import read_game, read_summary
from leap_exp.envs.alfworld.game_cache import read_cached_game, read_cached_summary
from tests.support.alfworld_games import needs_archive, official_texts

TEXTS = [generate_game("train", index, seed=0, household="full") for index in range(6)]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LEAP_CACHE", str(tmp_path / "cache"))
    game_cache._grammar.cache_clear()
    return tmp_path / "cache" / "alfworld_games"


@pytest.fixture
def only_cached(monkeypatch):
    """After a call of this, only the cache can be read."""

    def never(*_arguments, **_options):
        raise AssertionError("the game file was read")

    def forbid():
        monkeypatch.setattr(game_cache, "read_source", never)
        monkeypatch.setattr(game_cache, "read_summary", never)

    return forbid


def transcript(game):
    """What two random players see of a game, and what the game says about itself."""
    shown = [game.id, game.task_text, game.walkthrough, game.objects, game.receptacles, game.can_contain]
    for seed in range(2):
        play, rng = FastPlay(game), random.Random(seed)
        for _ in range(40):
            shown.append((play.text, play.admissible, play.reward, play.won))
            play.step(rng.choice(play.admissible))
    return shown


def entries(cache):
    return sorted(path for path in cache.rglob("*") if path.is_file())


def same_from_cache(text):
    return transcript(read_cached_game(text, game_id="g")) == transcript(read_game(text, game_id="g"))


def test_a_game_from_the_cache_is_the_same(only_cached):
    for text in TEXTS:
        read_cached_game(text, game_id="g")
    expected = [transcript(read_game(text, game_id="g")) for text in TEXTS]
    summaries = [read_summary(text, game_id="g") for text in TEXTS]
    only_cached()
    assert [transcript(read_cached_game(text, game_id="g")) for text in TEXTS] == expected
    assert [read_cached_summary(text, game_id="g") for text in TEXTS] == summaries


@needs_archive
def test_official_games_from_the_cache_are_the_same(only_cached):
    texts = [text for _, text in official_texts(20)]
    expected = [transcript(read_cached_game(text, game_id="g")) for text in texts]
    only_cached()
    assert [transcript(read_cached_game(text, game_id="g")) for text in texts] == expected


@pytest.mark.parametrize("suffix", [".json", ".twl2"])
@pytest.mark.parametrize(
    "broken",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-100]),
        lambda path: path.write_bytes(path.read_bytes().replace(b"1", b"2", 1)),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\xff\xfe"),
        lambda path: path.unlink(),
    ],
)
def test_a_broken_entry_is_replaced(cache, only_cached, suffix, broken):
    read_cached_game(TEXTS[0], game_id="g")
    before = {path: path.read_bytes() for path in entries(cache)}
    (entry,) = [path for path in before if path.suffix == suffix]
    broken(entry)
    game_cache._grammar.cache_clear()
    assert same_from_cache(TEXTS[0])
    assert {path: path.read_bytes() for path in entries(cache)} == before
    only_cached()
    assert read_cached_summary(TEXTS[0], game_id="g")


def test_an_entry_without_a_field_is_replaced(cache, monkeypatch):
    monkeypatch.setattr(game_cache, "fields", lambda _record: [])
    read_cached_game(TEXTS[0], game_id="g")
    monkeypatch.undo()
    monkeypatch.setenv("LEAP_CACHE", str(cache.parent))
    assert same_from_cache(TEXTS[0])
    assert game_cache._load(game_cache._path(TEXTS[0]))


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LEAP_CACHE", str(tmp_path / "file"))
    assert same_from_cache(TEXTS[0])


def test_a_broken_game_is_refused_and_not_kept(cache):
    with pytest.raises(DataError, match="game 7"):
        read_cached_game(TEXTS[0].replace("(:goal", "(:gaol"), game_id="game 7")
    assert entries(cache) == []


def _read_all(_index):
    return [transcript(read_cached_game(text, game_id="g")) for text in TEXTS]


def test_processes_share_an_empty_cache(cache):
    alone = [transcript(read_game(text, game_id="g")) for text in TEXTS]
    with multiprocessing.get_context("fork").Pool(4) as pool:
        assert pool.map(_read_all, range(8), chunksize=1) == [alone] * 8
    assert len(entries(cache)) == len(TEXTS) + 1, "an entry for each game and one grammar"


def test_only_files_are_cached(cache, tmp_path):
    def opened(games):
        environment = AlfworldEnvironment(AlfworldConfig(games=games, select="0:1"))
        with environment.open(environment.tasks("train")[0], seed=0) as episode:
            return episode.observation.text

    assert opened("builtin")
    assert entries(cache) == []
    folder = tmp_path / "train" / "one"
    folder.mkdir(parents=True)
    (folder / "game.tw-pddl").write_text(TEXTS[0])
    assert opened(str(tmp_path)) == opened(str(tmp_path))
    assert {path.suffix for path in entries(cache)} == {".json", ".twl2"}
