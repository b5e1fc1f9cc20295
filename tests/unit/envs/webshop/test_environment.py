"""WebShop as an environment: tasks, admissible actions, refusals."""

import dataclasses

import pytest

from leap_exp.core.errors import ConfigError, DataError, EnvError
from leap_exp.core.types import SUCCESS_SCORE
from leap_exp.envs.webshop import WebShopEnvironment
from tests.unit.envs.webshop.playing import play, sample, shop


def test_splits_follow_the_original_and_tasks_are_made_when_asked_for():
    environment = shop()
    sizes = {split: len(environment.tasks(split)) for split in ("test", "validation", "train")}
    assert sizes == {"test": 500, "validation": 1000, "train": 1500}
    tasks = environment.tasks("validation")
    assert tasks[0].id.startswith("webshop/human/500-")
    assert list(tasks[2:4]) == [tasks[2], tasks[3]]
    assert {task.kind for task in sample(environment, 60)} == {"beauty", "electronics", "fashion", "garden", "grocery"}


def test_an_id_covers_what_the_reward_depends_on():
    one, other = shop(), shop(price_seed=7)
    same = [a.id == b.id for a, b in zip(sample(one, 40), sample(other, 40), strict=True)]
    assert not all(same)
    foreign = next(a for a, b in zip(sample(one, 40), sample(other, 40), strict=True) if a.id != b.id)
    with pytest.raises(DataError, match="another catalogue"), other.open(foreign, seed=0):
        pass


def test_the_search_page_asks_for_a_query_and_every_other_lists_its_clicks():
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


def test_a_result_can_be_clicked_by_id_whatever_is_listed():
    by_name, by_id = shop(), shop(item_names=False)
    (task,) = sample(by_name, 1)
    with by_name.open(task, seed=0) as one, by_id.open(task, seed=0) as other:
        listed = other.step("search[brush set]").observation.admissible_actions[2]
        assert len(listed) == len("click[b000000000]")
        one.step("search[brush set]")
        assert one.step(listed).observation == other.step(listed).observation


def test_both_ways_of_writing_pages_lead_through_the_same_shop():
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


def test_a_session_is_over_with_the_purchase():
    environment = shop()
    (task,) = sample(environment, 1)
    with environment.open(task, seed=0) as episode:
        episode.step("search[brush set]")
        episode.step(episode.observation.admissible_actions[2])
        assert episode.score() == 0.0
        answer = episode.step("click[buy now]")
        assert answer.done
        assert answer.reward == episode.score()
        with pytest.raises(EnvError, match="over"):
            episode.step("search[brush set]")


def test_bad_settings_and_foreign_tasks_are_refused(tmp_path):
    environment = shop()
    with pytest.raises(ConfigError, match="choose one of train, validation, test"):
        environment.tasks("valid_unseen")
    with pytest.raises(ConfigError, match="no range of goals"):
        WebShopEnvironment(select="first ten")
    with pytest.raises(ConfigError, match="is left by select='900:'"):
        WebShopEnvironment(select="900:").tasks("test")
    with pytest.raises(DataError, match="data install webshop"):
        WebShopEnvironment(catalogue=str(tmp_path)).tasks("test")
    (task,) = sample(environment, 1)
    with pytest.raises(DataError, match="none of this shop's human goals"):
        environment.privileged(dataclasses.replace(task, id="alfworld/1"))


def test_a_selection_keeps_a_range():
    kept = WebShopEnvironment(select="3:5").tasks("test")
    assert list(kept) == list(shop().tasks("test")[3:5])
