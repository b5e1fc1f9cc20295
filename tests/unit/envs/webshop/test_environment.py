"""WebShop as an environment: tasks, admissible actions, errors."""

import dataclasses

import pytest

from leap_exp.core.errors import ConfigError, DataError, EnvError
from leap_exp.core.types import SUCCESS_SCORE
from leap_exp.envs.webshop.config import WebShopConfig
from tests.unit.envs.webshop.playing import play, sample, shop


def test_splits_follow_the_original_and_tasks_are_made_on_access():
    environment = shop()
    sizes = {split: len(environment.tasks(split)) for split in ("test", "validation", "train")}
    assert sizes == {"test": 500, "validation": 1000, "train": 1500}
    tasks = environment.tasks("validation")
    assert tasks[0].id.startswith("webshop/human/500-")
    assert list(tasks[2:4]) == [tasks[2], tasks[3]]
    assert {task.kind for task in sample(environment, 60)} == {"beauty", "electronics", "fashion", "garden", "grocery"}


def test_an_id_covers_everything_that_the_reward_depends_on():
    one, other = shop(), shop(price_seed=7)
    same = [a.id == b.id for a, b in zip(sample(one, 40), sample(other, 40), strict=True)]
    assert not all(same)
    foreign = next(a for a, b in zip(sample(one, 40), sample(other, 40), strict=True) if a.id != b.id)
    with pytest.raises(DataError, match="another catalogue"), other.open(foreign, seed=0):
        pass


def test_the_search_page_admits_a_query_and_the_other_pages_their_clicks():
    environment = shop()
    (task,) = sample(environment, 1)
    with environment.open(task, seed=0) as episode:
        assert episode.observation.admissible_actions == ("search[<query>]",)
        page = episode.step(f"search[{task.instruction}]").observation
        actions = page.admissible_actions
        assert actions[:2] == ("click[back to search]", "click[next >]")
        names = [text for text in page.text.split(" [SEP] ") if f"click[{text.lower()}]" in actions[2:]]
        assert len(names) == len(actions) - 2 == 10
        product = episode.step(actions[2]).observation
        assert names[0] in product.text
        assert "click[buy now]" in product.admissible_actions


def test_a_result_can_be_clicked_by_id_even_if_names_are_listed():
    by_name, by_id = shop(), shop(item_names=False)
    (task,) = sample(by_name, 1)
    with by_name.open(task, seed=0) as one, by_id.open(task, seed=0) as other:
        listed = other.step("search[brush set]").observation.admissible_actions[2]
        assert len(listed) == len("click[b000000000]")
        one.step("search[brush set]")
        assert one.step(listed).observation == other.step(listed).observation


def test_the_oracle_acts_the_same_in_both_modes():
    for task in sample(shop(), 5):
        plain = play(shop(), task, lambda view, t=task: shop().oracle(t).decide(view, "p50", seed=0))
        rich_task = next(other for other in sample(shop(observation="text_rich"), 5) if other.id == task.id)
        rich = play(
            shop(observation="text_rich"),
            rich_task,
            lambda view, t=rich_task: shop(observation="text_rich").oracle(t).decide(view, "p50", seed=0),
        )
        assert [d.action for d in plain[2]] == [d.action for d in rich[2]]
        assert plain[0] == rich[0] >= SUCCESS_SCORE


def test_a_purchase_ends_the_session():
    environment = shop()
    (task,) = sample(environment, 1)
    with environment.open(task, seed=0) as episode:
        episode.step("search[brush set]")
        episode.step(episode.observation.admissible_actions[2])
        assert episode.score() == 0.0
        transition = episode.step("click[buy now]")
        assert transition.done
        assert transition.reward == episode.score()
        with pytest.raises(EnvError, match="over"):
            episode.step("search[brush set]")


def test_wrong_settings_and_foreign_tasks_are_errors(tmp_path):
    environment = shop()
    with pytest.raises(ConfigError, match="choose one of train, validation, test"):
        environment.tasks("valid_unseen")
    with pytest.raises(ConfigError, match="choose one of: synthetic, human"):
        WebShopConfig(goals="robot")
    with pytest.raises(ConfigError, match="not a range of goals"):
        shop(select="first ten")
    with pytest.raises(ConfigError, match="select='900:' leaves none of the 500 goals"):
        shop(select="900:").tasks("test")
    with pytest.raises(DataError, match="data install webshop"):
        shop(catalogue=str(tmp_path)).tasks("test")
    (task,) = sample(environment, 1)
    with pytest.raises(DataError, match="not one of the human goals"):
        environment.privileged(dataclasses.replace(task, id="alfworld/1"))


def test_a_selection_keeps_a_range():
    selected = shop(select="3:5").tasks("test")
    assert list(selected) == list(shop().tasks("test")[3:5])
