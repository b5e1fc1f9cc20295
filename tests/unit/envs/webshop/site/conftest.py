"""A small shop with a web site."""

import threading

import pytest

from leap_exp.envs.webshop.engine.goals import GoalList
from leap_exp.envs.webshop.engine.shop import Shop
from leap_exp.envs.webshop.site.server import ShopServer
from tests.support.webshop_files import RECORDS, record, small_catalogue

HOSTILE = "<script>window.broken = 1</script> & \"Mug\" '5'"


@pytest.fixture
def shop(tmp_path):
    catalogue = small_catalogue(tmp_path, records=[*RECORDS, record("B000000009", HOSTILE, full_description=HOSTILE)])
    return Shop(catalogue, GoalList(catalogue))


@pytest.fixture
def site(shop):
    with ShopServer(shop, name="mugs", port=0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def blue_mug(shop):
    """The number of the goal that asks for the navy blue mug."""
    goals = (shop.goals.goal(index) for index in range(len(shop.goals)))
    return next(index for index, goal in enumerate(goals) if goal.options == {"color": "navy blue"})
