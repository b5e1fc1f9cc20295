from concurrent.futures import ThreadPoolExecutor

import pytest

from leap_exp.core.errors import EnvError
from leap_exp.envs.webshop.engine.goals import GoalList
from leap_exp.envs.webshop.engine.pages import ObservationMode
from leap_exp.envs.webshop.engine.shop import PageKind, Shop
from tests.support.webshop_files import RECORDS, option, record, small_catalogue


@pytest.fixture
def shop(tmp_path):
    catalogue = small_catalogue(tmp_path)
    return Shop(catalogue, GoalList(catalogue))


def _goal(shop, **options):
    return next(index for index in range(len(shop.goals)) if shop.goals.goal(index).options == options)


def _play(session, *actions):
    for action in actions:
        session.step(action)
    return session


def test_a_purchase_from_search_to_reward(shop):
    session = shop.open(_goal(shop, color="navy blue"))
    assert session.text == f"WebShop [SEP] Instruction: [SEP] {session.goal.instruction} [SEP] Search"
    assert session.available == (True, ("search",))
    _play(session, "search[Stoneware MUG]", "click[B000000001]", "click[navy blue]", "click[Features]", "click[< prev]")
    assert session.available.clickables == (
        *("back to search", "< prev", "description", "features", "reviews", "buy now", "navy blue", "red | white"),
    )
    assert session.step("click[buy now]") == 1.0
    assert session.done
    assert session.available == (False, ())
    assert 'options [SEP] {"color": "navy blue"} [SEP] attrs' in session.text
    with pytest.raises(EnvError, match="over"):
        session.step("click[back to search]")


@pytest.mark.parametrize(
    "action",
    [
        *("", "click[", "click[]", "search[]", "search", "buy now", "think[hm]", "CLICK[search]", "click[search]"),
        *("click[ buy now ]", "Search[mug]", "click[no such thing]", "search[mug\n]", "[x]", "click[b000000001"),
    ],
)
def test_an_impossible_action_changes_nothing(shop, action):
    session = shop.open(0)
    before = session.text, session.available
    assert session.step(action) == 0.0
    assert (session.text, session.available) == before


def test_search_works_on_every_page_and_resets_the_selected_options(shop):
    session = _play(shop.open(0), "search[shoes]", "click[b000000003]", "click[black]")
    assert session.selected == {"color": "black"}
    assert session.page_kind is PageKind.ITEM
    _play(session, "search[glass]")
    assert (session.page_kind, session.selected, session.product) == (PageKind.RESULTS, {}, None)
    assert session.results == {"b000000002": 1}


def test_pages_of_results_can_be_turned_beyond_the_end(tmp_path):
    extra = [record(f"B0000001{number:02d}", "Tin Mug") for number in range(20)]
    catalogue = small_catalogue(tmp_path, records=[*RECORDS, *extra])
    session = _play(Shop(catalogue, GoalList(catalogue)).open(0), "search[tin]")
    assert "Page 1 (Total results: 20)" in session.text
    assert "< prev" not in session.available.clickables
    _play(session, "click[next >]")
    assert list(session.results) == [f"b0000001{number}" for number in range(10, 20)]
    _play(session, "click[next >]")
    assert session.text.endswith("Page 3 (Total results: 20) [SEP] < Prev [SEP] Next >")
    _play(session, "click[< prev]", "click[b000000115]", "click[reviews]", "click[< prev]", "click[< prev]")
    assert "Page 2" in session.text


def test_rich_text_marks_what_was_clicked(shop):
    session = shop.open(0, mode=ObservationMode.TEXT_RICH)
    _play(session, "search[shoes]")
    assert "\n[button] B000000003 [button_]\nWomen's Running Shoes\n$100.0\n" in session.text
    _play(session, "click[b000000003]", "click[7]")
    assert session.text.startswith("You have clicked 7.\nInstruction:\n")
    assert "size\n  [clicked button] 7 [clicked button_]\n  [button] 8 [button_]\ncolor\n" in session.text
    _play(session, "click[< prev]")
    assert "\n[clicked button] B000000003 [clicked button_]\n" in session.text
    _play(session, "click[back to search]", "search[shoes]")
    assert "clicked" not in session.text


def test_a_quoted_word_in_the_query_looks_clicked_like_in_the_original(shop):
    session = shop.open(0, mode=ObservationMode.TEXT_RICH)
    _play(session, 'search[shoes "black"]', "click[b000000003]")
    assert session.text.startswith("You have clicked black.\n")
    assert session.selected == {}


def test_a_query_with_the_name_of_a_page_misleads_the_shop_like_in_the_original(shop):
    session = _play(shop.open(0), "search[shoes search_results]", "click[b000000003]", "click[< prev]")
    assert "Page 0 (Total results: 1)" in session.text
    assert session.results == {}
    assert session.available.clickables == ("back to search", "next >")


def test_an_option_named_like_a_button_is_that_button(shop):
    session = _play(shop.open(0), "search[shoes]", "click[b000000003]")
    assert session.available.clickables.count("buy now") == 1
    session.step("click[buy now]")
    assert session.done


def test_if_two_options_have_the_same_value_the_later_one_is_selected(tmp_path):
    both = record("B000000004", "Mug", customization_options={"Size": option("one"), "Color": option("one")})
    catalogue = small_catalogue(tmp_path, records=[both])
    session = _play(Shop(catalogue, GoalList(catalogue)).open(0), "search[mug]", "click[b000000004]", "click[one]")
    assert session.selected == {"color": "one"}


def test_white_space_is_shown_like_by_the_originals_parser(tmp_path):
    odd = record("B000000004", "Mug", full_description=" \n ", small_description=["", "\n", " x "])
    catalogue = small_catalogue(tmp_path, records=[odd])
    shop = Shop(catalogue, GoalList(catalogue))
    plain, rich = shop.open(0), shop.open(0, mode=ObservationMode.TEXT_RICH)
    for session in (plain, rich):
        _play(session, "search[mug]", "click[b000000004]", "click[description]")
    assert plain.text.endswith("Back to Search [SEP] < Prev")
    for session in (plain, rich):
        _play(session, "click[< prev]", "click[features]")
    assert plain.text.endswith("< Prev [SEP]  [SEP] x")
    assert rich.text.endswith("[button] < Prev [button_]\n \n  x \n")


def test_undocumented_commands_of_the_original_work(shop):
    session = _play(shop.open(0), "search[<q> mugs]")
    assert list(session.results) == ["b000000001", "b000000002", "b000000004"]
    assert list(_play(session, "search[<c> fashion]").results) == ["b000000003"]
    assert "Total results: 0" in _play(session, "search[<a> easy clean]").text
    drawn = [list(_play(shop.open(0, seed=seed), "search[<r>]").results) for seed in (0, 0, 1, 2, 3)]
    assert drawn[0] == drawn[1]
    assert any(other != drawn[0] for other in drawn[2:])
    assert {len(each) for each in drawn} == {len(RECORDS)}


def test_threads_share_a_shop(shop):
    def visit(number):
        session = shop.open(number % len(shop.goals), mode=ObservationMode.TEXT_RICH)
        shown = [session.text]
        for action in ("search[mug]", "click[b000000001]", "click[navy blue]", "click[buy now]"):
            session.step(action)
            shown.append(session.text)
        return shown

    alone = [visit(number) for number in range(7)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(visit, range(70))) == alone * 10
