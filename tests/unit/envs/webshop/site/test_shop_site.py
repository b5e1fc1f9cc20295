"""The shop's web site over HTTP, used like by a browser without scripts."""

import re
from concurrent.futures import ThreadPoolExecutor
from html import escape, unescape
from http.client import HTTPConnection
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from leap_exp.core.errors import LeapError
from leap_exp.envs.webshop.commands import play
from leap_exp.envs.webshop.site.visits import Visits
from tests.unit.envs.webshop.site.conftest import HOSTILE


class Visitor:
    """Follows redirects and sends the fields of the current page."""

    def __init__(self, site):
        self._site = site
        self.get("")

    def get(self, path):
        self._open(f"{self._site.address}{path}")

    def send(self, path, **fields):
        self._open(f"{self._site.address}{path}", urlencode(fields).encode())

    def start(self, goal):
        self.send("start", goal=goal)
        return self

    def act(self, **fields):
        after = re.search(r'name="after" value="(\d+)"', self.page)[1]
        self.send(self.path, after=after, **fields)
        return self

    def click(self, label):
        """Press the button that shows ``label``."""
        buttons = re.findall(r'<button name="action" value="([^"]*)"[^>]*>(.*?)</button>', self.page)
        texts = {re.sub("<[^>]*>", "", text).strip(): unescape(value) for value, text in buttons}
        return self.act(action=next(value for text, value in texts.items() if text.startswith(escape(label))))

    def _open(self, url, data=None):
        with urlopen(url, data, timeout=10) as answer:
            self.page = answer.read().decode()
            self.path = answer.url.removeprefix(self._site.address)
            self.headers = answer.headers


def error_page(action):
    """Return the status and the message of the error page that ``action`` gets."""
    with pytest.raises(HTTPError) as raised:
        action()
    page = raised.value.read().decode()
    assert page.count('id="problem"') == 1
    return raised.value.code, unescape(re.search(r'id="problem">(.*?)</p>', page)[1])


def test_a_purchase_from_search_to_reward_and_the_next_goal(site, blue_mug):
    visitor = Visitor(site).start(blue_mug)
    assert "Find me dishwasher safe mugs with color: navy blue" in visitor.page
    visitor.act(query="stoneware mug")
    assert "Page 1 (Total results: " in visitor.page
    visitor.click("Blue Stoneware Mug, 12oz").click("navy blue")
    assert re.search(r'click\[navy blue\]" aria-pressed="true"', visitor.page)
    visitor.click("Features")
    assert "Easy to clean" in visitor.page
    visitor.click("< Prev").click("Buy Now")
    assert re.search(r'Reward <strong class="good">1\.000', visitor.page)
    assert re.findall(r"<tr><th>(.*?)</th><td>(.*?)</td><td class=\"(.*?)\"", visitor.page) == [
        ("attribute", "dishwasher safe", "good"),
        ("option", "color: navy blue", "good"),
        ("price", "at most $40.00", "good"),
    ]
    offered = re.search(r'name="goal" value="(\d+)" autofocus>Next goal', visitor.page)[1]
    visitor.start(offered)
    assert f"Goal {offered}, action 1" in visitor.page


def test_a_wrong_purchase_shows_what_is_missing(site, blue_mug):
    visitor = Visitor(site).start(blue_mug).act(query="steel travel mug").click("Steel Travel Mug").click("Buy Now")
    assert 'Reward <strong class="">0.000' in visitor.page
    assert visitor.page.count('class="bad">no<') == 3


def test_only_post_changes_anything_and_an_old_page_does_nothing(site, blue_mug):
    visitor = Visitor(site).start(blue_mug).act(query="mug")
    path = visitor.path
    visitor.get(f"{path}?action=click%5Bback+to+search%5D&after=1")
    assert "Total results" in visitor.page
    visitor.send(path, action="click[back to search]", after="0")
    assert "Total results" in visitor.page
    visitor.send(path, action="click[back to search]", after="1")
    assert 'id="query"' in visitor.page
    visitor.send(path, action="click[no such thing]", after="2")
    assert 'id="query"' in visitor.page


def test_a_purchase_is_final(site, blue_mug):
    visitor = Visitor(site).start(blue_mug).act(query="glass").click("Glass Mug for Tea").click("Buy Now")
    visitor.send(visitor.path, action="click[back to search]", after="3")
    assert "Reward" in visitor.page


def test_names_and_queries_are_escaped(site):
    visitor = Visitor(site).start(0).act(query="[<script>window.broken mug")
    assert f"{escape(HOSTILE).replace('&#x27;', '&#39;').replace('&quot;', '&#34;')}</span>" in visitor.page
    visitor.click("<script>")
    visitor.click("Description")
    assert "<script" not in visitor.page
    assert "default-src 'none'" in visitor.headers["Content-Security-Policy"]


def test_unknown_pages_and_visits_are_errors(site):
    visitor = Visitor(site)
    for path in ("visit/none", "visit/", "elsewhere", "start"):
        assert error_page(lambda path=path: visitor.get(path))[0] == 404
    status, message = error_page(lambda: visitor.send("visit/none", action="click[buy now]", after="0"))
    assert (status, "start again" in message) == (404, True)


@pytest.mark.parametrize("goal", ["", "seven", "-1", "7", "1e3", "9" * 5000, "<b>"])
def test_an_unknown_goal_is_one_clear_error(site, goal):
    status, message = error_page(lambda: Visitor(site).start(goal))
    assert (status, message) == (400, f"There is no goal {goal[:40]!r}: choose a number from 0 to 6.")


@pytest.mark.parametrize("length", ["", "many", "-1", "100000", "9" * 5000])
def test_a_form_with_a_wrong_length_is_an_error(site, length):
    connection = HTTPConnection("127.0.0.1", site.server_port, timeout=10)
    connection.putrequest("POST", "/start")
    connection.putheader("Content-Length", length)
    connection.endheaders()
    assert connection.getresponse().status == 400
    connection.close()


def test_the_visit_that_was_idle_longest_is_deleted_first(shop):
    visits = Visits(shop, limit=2)
    first, second = visits.open(0), visits.open(1)
    assert visits.find(first.id) is first
    third = visits.open(2)
    assert [visits.find(visit.id) for visit in (first, second, third)] == [first, None, third]


def test_visitors_do_not_affect_each_other(site, shop):
    def buy(goal):
        visitor = Visitor(site).start(goal).act(query="mug").click("Blue Stoneware Mug").click("Buy Now")
        return shop.goals.goal(goal).instruction in unescape(visitor.page)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(buy, range(7)))


def test_the_command_rejects_wrong_options(site, tmp_path):
    wrong = [
        ({"goal": 3000}, "choose a number from 0 to 2999"),
        ({"goal": -1}, "choose a number from 0 to 2999"),
        ({"catalogue": str(tmp_path)}, "data install webshop"),
        ({"port": site.server_port}, "choose another with --port"),
        ({"port": 70000}, "choose another with --port"),
    ]
    for options, message in wrong:
        with pytest.raises(LeapError, match=message):
            play(**options)
