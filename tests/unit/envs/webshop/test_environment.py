"""WebShop as an environment: tasks, admissible actions, errors."""

import dataclasses

import pytest

from leap_exp.analysis.realizability import agreement
from leap_exp.core.errors import ConfigError, DataError, EnvError
from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import SUCCESS_SCORE, Briefing, Trajectory
from leap_exp.envs.webshop.config import WebShopConfig
from leap_exp.envs.webshop.environment import WebShopEnvironment
from leap_exp.runs import read_records, write_records
from leap_exp.stages.demonstrations import imitate
from leap_exp.stages.evaluate import assess, draw_panel
from leap_exp.stages.rollout import rollout, sample_tasks
from leap_exp.students.scripted import ExpertPolicy
from leap_exp.teachers.oracle import OracleTeacher
from tests.support.webshop_files import option, record, small_catalogue
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


class Writing(ExpertPolicy):
    """The expert, which writes its actions in another way."""

    def __init__(self, environment, write):
        super().__init__(environment)
        self._write = write

    def act(self, views, *, seed):
        decided = super().act(views, seed=seed)
        return [dataclasses.replace(decision, action=self._write(decision.action)) for decision in decided]


def _capitals_and_a_dot(action):
    name, _, rest = action.partition("[")
    return f"{name}[{rest.title()}."


def played(environment, policy, tasks):
    return rollout(environment, policy, tasks, seed=0, max_steps=15, batch=4, on_progress=lambda *_: None)


def test_actions_in_capitals_or_with_a_full_stop_are_valid_as_the_shop_carries_them_out():
    environment = shop()
    tasks = sample(environment, 12)
    plain = played(environment, ExpertPolicy(environment), tasks)
    written = played(environment, Writing(environment, _capitals_and_a_dot), tasks)
    assert [t.score for t in written] == [t.score for t in plain]
    assert assess(written).invalid_action_rate == 0.0
    steps = [step for trajectory in written for step in trajectory.steps]
    assert "click[Buy Now]." in {step.decision.action for step in steps}
    assert [step.action.lower() for step in steps] == [s.decision.action for t in plain for s in t.steps]
    demonstrations = imitate(written)
    assert len(demonstrations) == len(imitate(plain)) > 0
    assert demonstrations[0].decisions[-1].action == "click[buy now]"
    assert not any(mark for demonstration in demonstrations for mark in demonstration.changed)


def test_the_oracle_understands_and_keeps_an_action_that_is_written_otherwise():
    environment = shop()
    tasks = sample(environment, 12)
    written = played(environment, Writing(environment, _capitals_and_a_dot), tasks)
    plain = played(environment, ExpertPolicy(environment), tasks)
    corrections, expected = (
        OracleTeacher(environment, seed=0).correct(trajectories, [briefing] * 12)
        for briefing in [Briefing(disclosure=Disclosure.NONE, facts=None)]
        for trajectories in (written, plain)
    )
    assert [c.changed for c in corrections] == [c.changed for c in expected]
    assert agreement(corrections) == agreement(expected)


def test_a_step_that_is_written_otherwise_is_recorded_as_written(tmp_path):
    environment = shop()
    written = played(environment, Writing(environment, _capitals_and_a_dot), sample(environment, 2))
    write_records(tmp_path / "records.jsonl", written, {})
    assert read_records(tmp_path / "records.jsonl").of(Trajectory) == written


@pytest.mark.parametrize(
    ("written", "listed"),
    [
        ("click[Next >]", "click[next >]"),
        ("click[next >].", "click[next >]"),
        ("click[NEXT >] to see more", "click[next >]"),
        ("click[next >]\nThought: done", "click[next >]"),
        ("click[next >]", ""),
        ("Click[next >]", ""),
        ("click[ next >]", ""),
        ("click[buy now]", ""),
        # Carried out, as in the original, but not offered on this page.
        ("search[mug]", ""),
    ],
)
def test_what_the_shop_takes_an_action_for(written, listed):
    environment = shop()
    (task,) = sample(environment, 1)
    with environment.open(task, seed=0) as episode:
        assert episode.step("search[Brush Set].").listed_as == "search[Brush Set]"
        before = episode.observation
        transition = episode.step(written)
        assert transition.listed_as == listed
        is_done = transition.observation != before
        assert is_done == (before.admits(listed or written) or written.startswith("search["))


def test_a_click_on_an_id_counts_as_the_click_on_the_name_that_is_listed():
    by_name, by_id = shop(), shop(item_names=False)
    (task,) = sample(by_name, 1)
    with by_name.open(task, seed=0) as one, by_id.open(task, seed=0) as other:
        clicked = other.step("search[brush set]").observation.admissible_actions[2]
        names = one.step("search[brush set]").observation
        transition = one.step(clicked.upper().replace("CLICK", "click"))
        assert transition.listed_as in names.admissible_actions
        assert not names.admits(clicked)


@pytest.fixture
def bracketed(tmp_path):
    """A shop with one product whose name and options have brackets."""
    options = {"Size": option("red [large]", "red [small]"), "Colour": option("[blue]")}
    small_catalogue(tmp_path, records=[record("B000000001", "Mug [set of 2]", customization_options=options)])
    return WebShopEnvironment(WebShopConfig(catalogue=str(tmp_path / "catalogue"), goals="human"))


def test_an_option_with_brackets_works_when_it_is_listed(bracketed):
    (task, *_) = bracketed.tasks("test")
    with bracketed.open(task, seed=0) as episode:
        page = episode.step("search[mug [set]]").observation
        assert "click[mug [set of 2]]" in page.admissible_actions
        page = episode.step("click[Mug [Set of 2]]").observation
        assert {"click[red [large]]", "click[red [small]]", "click[[blue]]"} <= set(page.admissible_actions)
        for action in ("click[red [large]]", "click[Red [Small]].", "click[[blue]]"):
            episode.step(action)
        bought = episode.step("click[buy now]").observation.text
        assert '"size": "red [small]"' in bought
        assert '"colour": "[blue]"' in bought


def test_too_few_goals_are_an_error_that_names_the_synthetic_goals(bracketed):
    tasks, advice = bracketed.tasks("test"), bracketed.more_tasks("test")
    with pytest.raises(DataError, match=r"needs 9 tasks.*only 1.*env\.goals=synthetic or env\.catalogue=all"):
        sample_tasks(tasks, 9, seed=0, advice=advice)
    with pytest.raises(DataError, match=r"evaluation\.tasks=9.*only 1 tasks.*env\.goals=synthetic"):
        draw_panel(tasks, split="test", size=9, seed=0, advice=advice)
    with pytest.raises(ConfigError, match=r"leaves none of the 1 goals.*env\.goals=synthetic"):
        shop(catalogue=bracketed._config.catalogue, select="5:").tasks("test")


def test_a_catalogue_without_goals_names_the_other_kind(tmp_path):
    small_catalogue(tmp_path, instructions={})
    with pytest.raises(DataError, match=r"no human goals: use env\.goals=synthetic"):
        shop(catalogue=str(tmp_path / "catalogue")).tasks("test")
