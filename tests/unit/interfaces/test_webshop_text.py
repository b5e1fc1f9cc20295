"""The drop-in for WebShop's text environment, on a small catalogue."""

import random

import pytest

from leap_exp.core.errors import ConfigError, DataError
from leap_exp.interfaces.webshop_check import _HtmlPage
from leap_exp.interfaces.webshop_text import SimServer, WebAgentTextEnv
from tests.support.webshop_files import small_catalogue

BUY_A_MUG = ("search[stoneware mug]", "click[B000000001]", "click[navy blue]", "click[Buy Now]")


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory):
    return small_catalogue(tmp_path_factory.mktemp("webshop"))


@pytest.fixture
def server(catalogue):
    return SimServer(catalogue)


def _mug(server):
    """The index of the goal for the blue mug."""
    wanted = {"color": "navy blue"}
    return next(index for index, goal in enumerate(server.goals) if goal["goal_options"] == wanted)


def _play(environment, actions):
    return [environment.step(action) for action in actions]


def test_a_purchase_ends_the_episode_with_the_reward(server):
    environment = WebAgentTextEnv("text", server=server)
    observation, nothing = environment.reset(_mug(server))
    assert nothing is None
    assert observation.startswith("WebShop [SEP] Instruction: [SEP] Find me dishwasher safe mugs")
    assert environment.instruction_text == f"Instruction: {server.goals[_mug(server)]['instruction_text']}"
    assert environment.get_available_actions() == {"has_search_bar": True, "clickables": ["search"]}
    results = _play(environment, BUY_A_MUG)
    assert [done for _, _, done, _ in results] == [False, False, False, True]
    _, reward, _, info = results[-1]
    assert reward > 0
    assert info is None
    known = server.user_sessions[str(_mug(server))]
    assert (known["done"], known["reward"], known["asin"]) == (True, reward, "B000000001")
    assert known["options"] == {"color": "navy blue"}
    assert known["verbose_info"]["r_price"] is True


def test_after_a_purchase_a_search_goes_on(server):
    environment = WebAgentTextEnv("text", server=server)
    environment.reset(_mug(server))
    bought = _play(environment, BUY_A_MUG)[-1][0]
    assert environment.step("click[Buy Now]") == (bought, 0.0, False, None)
    observation, reward, done, _ = environment.step("search[mug]")
    assert "Page 1" in observation
    assert (reward, done) == (0.0, False)


@pytest.mark.parametrize("place", range(len(BUY_A_MUG) + 1))
def test_html_shows_the_texts_and_clickables_of_the_page(server, place):
    environments = [WebAgentTextEnv(mode, server=server) for mode in ("html", "text")]
    for environment in environments:
        environment.reset(_mug(server))
        _play(environment, BUY_A_MUG[:place])
    page = _HtmlPage(environments[0].observation)
    assert page.text == environments[1].observation
    assert page.available == environments[1].get_available_actions()


def test_urls_name_the_session(server):
    environment = WebAgentTextEnv("url", server=server, session_prefix="worker_")
    assert environment.reset(0)[0] == "http://127.0.0.1:3000/worker_0"
    assert environment.step("search[Blue Mug]")[0] == "http://127.0.0.1:3000/search_results/worker_0/blue+mug/1"
    assert environment.state["url"] == environment.observation


def test_a_session_keeps_the_goal_that_it_got_first(server):
    environment = WebAgentTextEnv("text", server=server)
    environment.reset("anything")
    first = environment.instruction_text
    for _ in range(5):
        environment.reset()
    environment.reset("anything")
    assert environment.instruction_text == first
    other = WebAgentTextEnv("text", server=server)
    other.reset("anything")
    assert other.instruction_text == first


def test_goals_without_a_session_follow_from_the_global_seed(catalogue):
    def sessions():
        environment = WebAgentTextEnv("text", server=SimServer(catalogue))
        return [(environment.reset(), environment.session) for _ in range(10)]

    assert sessions() == sessions()
    random.seed(5)
    assert len({session for _, session in sessions()}) == 10


def test_goals_can_be_filtered_and_limited(catalogue):
    everything = SimServer(catalogue).goals
    some = SimServer(catalogue, filter_goals=lambda index, goal: goal["asin"] == "B000000003").goals
    assert 0 < len(some) < len(everything)
    assert {goal["asin"] for goal in some} == {"B000000003"}
    limited = SimServer(catalogue, limit_goals=2).goals
    assert len(limited) == 2
    assert all(goal in list(everything) for goal in limited)
    with pytest.raises(ConfigError, match="leaves none of the"):
        SimServer(catalogue, filter_goals=lambda index, goal: False)
    with pytest.raises(ConfigError, match="limit_goals=0"):
        SimServer(catalogue, limit_goals=0)


def test_human_goals_are_those_that_people_wrote(catalogue):
    server = SimServer(catalogue, human_goals=True)
    assert [(goal["asin"], goal["weight"]) for goal in server.goals] == [("B000000001", 1.0)]
    assert server.goals[0]["goal_options"] == ["navy blue"]


def test_an_assigned_instruction_is_shown(server):
    environment = WebAgentTextEnv("text", server=server)
    server.assigned_instruction_text = "buy something nice"
    observation, _ = environment.reset(0)
    assert "buy something nice" in observation
    assert environment.instruction_text == "Instruction: buy something nice"


def test_earlier_observations_and_actions_are_put_in_front(server):
    environment = WebAgentTextEnv("text", server=server, num_prev_obs=1, num_prev_actions=1)
    start, _ = environment.reset(0)
    shown, *_ = environment.step("search[mug]")
    assert shown == f"{start} [SEP] search[mug] [SEP] {environment.observation}"


def test_what_cannot_be_had_is_named(server, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="observation_mode='image'"):
        WebAgentTextEnv("image", server=server)
    with pytest.raises(ConfigError, match="get_image=1"):
        WebAgentTextEnv(server=server, get_image=1)
    with pytest.raises(ConfigError, match="colour='red'"):
        WebAgentTextEnv(server=server, colour="red")
    with pytest.raises(DataError, match="There is no goal 99"):
        WebAgentTextEnv(server=server).reset(99)
    monkeypatch.setenv("LEAP_DATA", str(tmp_path))
    for arguments, size in (({}, "1000"), ({"file_path": "data/items_shuffle.json"}, "all")):
        with pytest.raises(DataError, match=f"leap data install webshop --size {size}"):
            WebAgentTextEnv(**arguments)


def test_a_catalogue_is_opened_by_its_folder(catalogue):
    environment = WebAgentTextEnv("text", file_path=catalogue.folder, num_products=len(catalogue))
    assert len(environment.server.goals) == len(SimServer(catalogue).goals)
    assert environment.unwrapped is environment
    with pytest.raises(ConfigError, match="num_products=100"):
        WebAgentTextEnv("text", file_path=catalogue.folder, num_products=100)
