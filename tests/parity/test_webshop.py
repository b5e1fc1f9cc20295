"""The shop against recorded episodes of the original."""

import gzip
import json

import pytest

from leap_exp.core.errors import DataError
from leap_exp.envs.webshop.agent_replay import replay_as_agent
from leap_exp.envs.webshop.commands import check
from leap_exp.envs.webshop.engine.authors_files import build_catalogue, find_files, read_products
from leap_exp.envs.webshop.engine.catalogue import Catalogue
from leap_exp.envs.webshop.engine.nouns import WordTagger
from leap_exp.envs.webshop.engine.replay import replay
from tests.support.webshop_files import FOLDER, GOLDEN, needs_files

pytestmark = needs_files


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory):
    folder = tmp_path_factory.mktemp("webshop") / "catalogue"
    build_catalogue(folder, find_files(FOLDER), tagger=WordTagger())
    return Catalogue(folder)


def test_recorded_episodes_are_reproduced(catalogue):
    steps = []
    assert [str(difference) for difference in replay(GOLDEN, catalogue, steps.append)] == []
    assert (len(steps), sum(steps)) == (360, 2875)


def test_an_agent_that_clicks_results_by_id_or_by_name_sees_what_was_recorded(catalogue, tmp_path):
    clicks = []
    golden = _recording(tmp_path / "golden", lambda name, content: None)
    assert [str(difference) for difference in replay_as_agent(golden, catalogue, clicks.append)] == []
    assert len(clicks) == 120
    assert sum(clicks) > 30
    assert sum(clicks[::2]) == 0, "by id, the recorded actions are played as they are"
    spoiled = _recording(tmp_path / "spoiled", _spoil_order)
    assert len(list(replay_as_agent(spoiled, catalogue, clicks.append))) == 2


def _recording(folder, spoil):
    """Write the recordings of human goals, changed by ``spoil``."""
    folder.mkdir()
    for name in ("human_goals", "human_text_rich"):
        content = json.loads(gzip.decompress((GOLDEN / f"{name}.json.gz").read_bytes()))
        spoil(name, content)
        (folder / f"{name}.json.gz").write_bytes(gzip.compress(json.dumps(content).encode()))
    return folder


def _spoil_price(name, content):
    if name == "human_goals":
        content["product_prices"]["B06Y3VLDFB"] += 0.01


def _spoil_goal(name, content):
    if name == "human_goals":
        content["goals"][3]["price_upper"] += 10


def _spoil_order(name, content):
    if name == "human_text_rich":
        content[0]["steps"][0]["available"]["clickables"][2:4] = content[0]["steps"][0]["available"]["clickables"][
            3:1:-1
        ]


def _spoil_reward(name, content):
    if name == "human_text_rich":
        content[0]["steps"][-1]["reward_info"]["title_score"] = 0.8


def _spoil_text(name, content):
    if name == "human_text_rich":
        content[0]["steps"][1]["observation"] += " "


@pytest.mark.parametrize("spoil", [_spoil_price, _spoil_goal, _spoil_order, _spoil_reward, _spoil_text])
def test_a_difference_is_found(catalogue, tmp_path, spoil):
    assert len(list(replay(_recording(tmp_path / "golden", spoil), catalogue, lambda steps: None))) == 1


def test_check_counts_differences(tmp_path, capsys):
    unchanged = _recording(tmp_path / "golden", lambda name, content: None)
    assert check(unchanged, FOLDER) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("0 differences in 60 episodes, 521 steps")
    spoiled = _recording(tmp_path / "spoiled", _spoil_text)
    assert check(spoiled, FOLDER) == 1
    shown = capsys.readouterr().out
    assert "human_text_rich 0, step 2, 'click[b09mw563kn]': observation" in shown
    # In the shop, and in the environment by id and by name.
    assert shown.splitlines()[-1].startswith("3 differences")


def test_check_names_a_missing_folder(tmp_path):
    with pytest.raises(DataError, match=str(tmp_path / "none")):
        check(tmp_path / "none", FOLDER)


def test_words_of_all_names_equal_those_of_spacys_tokenizer():
    spacy = pytest.importorskip("spacy", reason="the comparison needs the extra webshop")
    tokenizer, tagger = spacy.blank("en"), WordTagger()
    for product in read_products(find_files(FOLDER)):
        tokens = tokenizer(product.name)
        expected = sorted(token.text.lower() for token in tokens if token.is_alpha and not token.is_stop)
        assert sorted(next(tagger.nouns([product.name]))) == expected
