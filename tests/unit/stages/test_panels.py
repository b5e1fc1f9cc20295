"""Panels as files: the same tasks everywhere, or a refusal that names the first difference."""

import json
from dataclasses import replace

import pytest

from leap_exp.config.panels import RECIPES, composed, find_panel, make_panel
from leap_exp.config.plan import plan_stages
from leap_exp.core.errors import ConfigError, DataError
from leap_exp.envs.alfworld.config import AlfworldConfig
from leap_exp.envs.webshop.config import WebShopConfig
from leap_exp.stages.evaluate import draw_panel
from leap_exp.stages.panels import make_panel_file, read_panel_file
from tests.support.toy import ToyEnvironment


@pytest.fixture
def toy_file():
    environment = ToyEnvironment()
    panel = draw_panel(environment.tasks("test"), split="test", size=8, seed=1)
    return make_panel_file(panel, environment, name="toy_8", about="Toys.", settings=["env=toy"])


def test_a_panel_survives_its_file_and_gives_the_same_tasks(toy_file, tmp_path):
    toy_file.write(tmp_path / "toy.json")
    assert read_panel_file(tmp_path / "toy.json") == toy_file
    environment = ToyEnvironment()
    drawn = draw_panel(environment.tasks("test"), split="test", size=8, seed=1)
    found = toy_file.panel(environment, seed=1)
    assert (found.tasks, found.hash) == (drawn.tasks, drawn.hash)
    assert (found.name, found.contents_sha256) == ("toy_8", toy_file.sha256)


class ChangedToys(ToyEnvironment):
    """The third task of the panel has another instruction, and another content."""

    def __init__(self, place):
        super().__init__()
        self._place = place

    def tasks(self, split):
        return [
            replace(task, instruction="Find nothing.") if task.id == self._place else task
            for task in super().tasks(split)
        ]


def test_the_first_difference_is_named(toy_file):
    place = toy_file.tasks[2].place
    with pytest.raises(DataError, match=f"first in its task 3, {place}: its instruction is \\w+ in the panel"):
        toy_file.panel(ChangedToys(place), seed=0)
    missing = replace(toy_file, tasks=(replace(toy_file.tasks[0], place="toy/test/99"), *toy_file.tasks[1:]))
    with pytest.raises(DataError, match="first in its task 1, toy/test/99: it is missing here; use env=toy"):
        missing.panel(ToyEnvironment(), seed=0)
    other = replace(toy_file, settings=("env=alfworld",))
    with pytest.raises(DataError, match="is one of alfworld, not of toy"):
        other.panel(ToyEnvironment(), seed=0)


def test_a_file_that_was_changed_is_refused(toy_file, tmp_path):
    path = tmp_path / "toy.json"
    toy_file.write(path)
    data = json.loads(path.read_text())
    data["tasks"].pop()
    path.write_text(json.dumps(data))
    with pytest.raises(DataError, match="was changed"):
        read_panel_file(path)
    path.write_text("[]")
    with pytest.raises(DataError, match="not a panel"):
        read_panel_file(path)


SHIPPED = [name for name in RECIPES if name != "webshop_500"]


@pytest.mark.parametrize("name", SHIPPED)
def test_every_panel_with_a_number_in_its_name_has_so_many_tasks(name, monkeypatch, tmp_path):
    monkeypatch.setenv("LEAP_DATA", str(tmp_path))
    found = find_panel(name)
    assert len(found.tasks) == int(name.rpartition("_")[2])
    assert len({task.place for task in found.tasks}) == len(found.tasks)
    assert found.settings == tuple(sorted(RECIPES[name].env, key=lambda each: each[:4] != "env="))


@pytest.mark.parametrize("name", ["builtin_alfworld_36", "builtin_webshop_40", "builtin_intercode_48"])
def test_built_in_panels_are_what_this_version_generates(name, monkeypatch, tmp_path):
    monkeypatch.setenv("LEAP_DATA", str(tmp_path))
    assert make_panel(name, ()) == find_panel(name)


def test_other_households_and_prices_are_refused():
    with pytest.raises(DataError, match="it is missing here"):
        find_panel("builtin_alfworld_36").panel(AlfworldConfig(builtin_seed=1).build(), seed=0)
    with pytest.raises(DataError, match=r"task 1, webshop/human/.*its price limit is .* in the panel and .* here"):
        find_panel("builtin_webshop_40").panel(WebShopConfig(price_seed=7).build(), seed=0)


def test_a_panel_without_its_data_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv("LEAP_DATA", str(tmp_path))
    with pytest.raises(ConfigError, match="run leap data panel webshop_500"):
        find_panel("webshop_500")
    with pytest.raises(ConfigError, match="There is no panel nonsense"):
        find_panel("nonsense")


def test_the_plan_of_a_run_counts_the_panel_and_the_steps_of_the_protocol():
    config = composed(["rounds=0", "evaluation.panel=builtin_alfworld_60", "evaluation.protocol=sdar"])
    (stage,) = plan_stages(config, None)
    assert stage.work == "60 episodes of up to 50 steps"


def test_a_panel_of_joined_environments(monkeypatch, tmp_path):
    monkeypatch.setenv("LEAP_DATA", str(tmp_path))
    made = make_panel("both", ["env=joint", "env.members=[alfworld,webshop]", "evaluation.tasks=3"])
    assert made.settings == ("env=joint", "env.members=[alfworld,webshop]")
    environment = composed(made.settings).env.build()
    panel = made.panel(environment, seed=0)
    assert [task.environment for task in panel.tasks] == ["alfworld"] * 3 + ["webshop"] * 3
    alone = {"alfworld": AlfworldConfig().build(), "webshop": WebShopConfig().build()}
    for name, split in (("alfworld", "valid_unseen"), ("webshop", "test")):
        drawn = draw_panel(alone[name].tasks(split), split=split, size=3, seed=0)
        own = make_panel_file(drawn, alone[name], name="one", about="", settings=())
        assert own.tasks == tuple(task for task in made.tasks if task.place.startswith(name))
    other = composed(["env=joint", "env.members=[alfworld,webshop]", "env.webshop.price_seed=7"]).env.build()
    with pytest.raises(DataError, match=r"first in its task 4, webshop/.*its price limit"):
        made.panel(other, seed=0)


def test_a_panel_of_ones_own(monkeypatch, tmp_path):
    monkeypatch.setenv("LEAP_DATA", str(tmp_path))
    changes = ["evaluation.tasks=3", "env=alfworld", "env.household=full"]
    made = make_panel("mine", changes)
    assert made.settings == ("env=alfworld", "env.household=full")
    assert len(made.tasks) == 3
    with pytest.raises(ConfigError, match="Say which environment"):
        make_panel("mine", [])
    with pytest.raises(ConfigError, match="has its own settings"):
        make_panel("builtin_alfworld_36", changes)
