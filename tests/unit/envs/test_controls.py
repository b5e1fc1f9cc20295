"""Environments with controls: what is drawn, what the scripted expert believes, and when it stops believing."""

import sys
from pathlib import Path

import pytest

from leap_exp.core.environments import Oracle
from leap_exp.core.errors import ConfigError, DataError
from leap_exp.core.privilege import Control, Disclosure
from leap_exp.core.types import Decision, Step, View
from leap_exp.envs.alfworld.config import AlfworldConfig
from leap_exp.envs.controls import BelievingOracle, EnvironmentWithControl
from leap_exp.envs.thoughts import EnvironmentWithThoughts
from leap_exp.envs.wrapped import WrappedEnvironment
from tests.support.toy import ToyEnvironment, ToyOracle, prize_door

sys.path.insert(0, str(Path(__file__).parents[3] / "examples/tabular_world"))

from leap_boxes import BoxesConfig


def controlled(environment, control, *, disclosure=Disclosure.P25, seed=0):
    return EnvironmentWithControl(environment, control, disclosure=disclosure, seed=seed)


def play(environment, task, oracle, disclosure, *, steps):
    """Return what an oracle sees and does."""
    seen, history = [], ()
    with environment.open(task, seed=0) as episode:
        for _ in range(steps):
            view = View(task=task, history=history, observation=episode.observation)
            decision = oracle.decide(view, disclosure, seed=0)
            seen.append((view, decision))
            history += (Step(observation=view.observation, decision=decision, reward=0.0),)
            if episode.step(decision.action).done:
                break
    return seen


@pytest.fixture(scope="module")
def alfworld():
    return AlfworldConfig().build()


@pytest.mark.parametrize("disclosure", [Disclosure.P25, Disclosure.P100])
def test_a_wrong_world_is_believed_until_the_history_contradicts_it(alfworld, disclosure):
    changed = controlled(alfworld, Control.WRONG, disclosure=disclosure)
    disappointed = 0
    for task in alfworld.tasks("train")[:24]:
        told, true = changed.of_teacher.oracle(task), alfworld.oracle(task)
        believed = changed.belief(task).oracle
        doubts = False
        for view, decision in play(alfworld, task, told, disclosure, steps=12):
            doubts = doubts or not believed.fits(view)
            expected = true.decide(view, Disclosure.NONE, seed=0)
            if not doubts:
                expected = believed.decide(view, disclosure, seed=0)
            assert decision == expected
        disappointed += doubts
    assert disappointed > 12


def test_wrong_facts_and_the_believed_world_are_the_same(alfworld):
    changed = controlled(alfworld, Control.WRONG, disclosure=Disclosure.P100)
    compared = 0
    for task in alfworld.tasks("train")[:12]:
        belief = changed.belief(task)
        if "facts_of" in belief.facts.data:
            continue
        ((view, decision),) = play(alfworld, task, changed.of_teacher.oracle(task), Disclosure.P100, steps=1)
        assert view.observation.admits(decision.action)
        assert decision.action == belief.facts.data["plan"][0]
        assert belief.facts.data["locations"].keys() == alfworld.privileged(task).data["locations"].keys()
        compared += 1
    assert compared > 8


def test_what_is_drawn_depends_on_the_seed(alfworld):
    tasks = alfworld.tasks("train")[:8]
    for control in (Control.SHUFFLED, Control.WRONG):
        texts = [
            [controlled(alfworld, control, seed=seed).privileged(task).text for task in tasks] for seed in (0, 0, 1)
        ]
        assert texts[0] == texts[1] != texts[2]


def test_shuffled_facts_are_of_the_same_kind_of_task_if_there_is_one(alfworld):
    changed = controlled(alfworld, Control.SHUFFLED)
    kinds = {task.id: task.kind for task in alfworld.tasks("train")}
    tasks = alfworld.tasks("train")[:12]
    assert all(kinds[changed.privileged(task).data["facts_of"]] == task.kind for task in tasks)


def test_where_all_worlds_are_alike_the_expert_acts_by_the_history_and_is_told_of_another_task(alfworld):
    # The knife of this household can only be in the sink.
    (task,) = [each for each in alfworld.tasks("train") if each.id == "alfworld/builtin/small/0/train/00038"]
    changed = controlled(alfworld, Control.WRONG)
    assert changed.privileged(task).data["facts_of"] != task.id
    told = changed.of_teacher.oracle(task)
    for view, decision in play(alfworld, task, told, Disclosure.P100, steps=6):
        assert decision == alfworld.oracle(task).decide(view, Disclosure.NONE, seed=0)


def test_thoughts_do_not_shake_a_belief(alfworld):
    environment = EnvironmentWithThoughts(alfworld)
    changed = controlled(environment, Control.WRONG, disclosure=Disclosure.P50)
    task = alfworld.tasks("train")[0]
    believed = changed.belief(task).oracle
    with environment.open(task, seed=0) as episode:
        first = episode.observation
        episode.step("think: where could it be?")
        thought = Step(observation=first, decision=Decision(reason="", action="think: where could it be?"), reward=0.0)
        view = View(task=task, history=(thought,), observation=episode.observation)
        assert believed.fits(view)
        action = changed.of_teacher.oracle(task).decide(view, Disclosure.P50, seed=0).action
    assert action == changed.privileged(task).data["plan"][0]


def test_a_coin_is_believed_in_another_box_until_that_is_open():
    boxes = BoxesConfig().build()
    changed = controlled(boxes, Control.WRONG, disclosure=Disclosure.P100)
    for task in boxes.tasks("train")[:4]:
        told = changed.privileged(task).data["locations"]["coin"]
        assert told != boxes.privileged(task).data["locations"]["coin"]
        told_oracle = changed.of_teacher.oracle(task)
        said = [step.reason for _, step in play(boxes, task, told_oracle, Disclosure.P100, steps=9)]
        believed = [reason == f"The coin is in {told}." for reason in said]
        assert believed[0]
        # It walks there, opens that box, and then looks in the others.
        assert believed == sorted(believed, reverse=True)
        assert not believed[-1]


class WithoutBeliefs(WrappedEnvironment):
    """The toy world, whose expert can only believe the truth."""

    def oracle_with_facts_of(self, task, other):
        return None


def test_an_expert_that_cannot_believe_otherwise_is_an_error_that_names_control_and_environment():
    environment = WithoutBeliefs(ToyEnvironment())
    task = environment.tasks("train")[0]
    for control in (Control.SHUFFLED, Control.WRONG):
        changed = controlled(environment, control)
        assert changed.privileged(task).text.startswith("Behind ")
        with pytest.raises(ConfigError, match=f"privilege.control={control}: the scripted expert of toy cannot"):
            changed.of_teacher.oracle(task)
    assert controlled(environment, Control.PLACEBO).of_teacher.oracle(task)


class LoneTask(WrappedEnvironment):
    """The toy world with one task."""

    def tasks(self, split):
        return self._environment.tasks(split)[:1]


class OneDoor(ToyEnvironment):
    """The toy world where all prizes are behind the same door."""

    def privileged(self, task):
        return super().privileged(self.tasks("train")[0])


def test_without_another_task_or_other_facts_there_is_nothing_to_tell():
    lone = LoneTask(ToyEnvironment())
    (task,) = lone.tasks("train")
    for control in (Control.SHUFFLED, Control.WRONG):
        with pytest.raises(DataError, match="the only one in the split 'train'"):
            controlled(lone, control).privileged(task)
    with pytest.raises(DataError, match="nothing was found that contradicts the facts"):
        controlled(OneDoor(), Control.WRONG).privileged(task)


def test_a_placebo_by_hand():
    toy = ToyEnvironment()
    task = toy.tasks("train")[0]
    assert toy.privileged(task).text == "Behind open door 5."
    assert controlled(toy, Control.PLACEBO).privileged(task).text == "Behind open door 0."
    # Of a single task nobody can tell which words are the form.
    assert controlled(LoneTask(toy), Control.PLACEBO).privileged(task).text == "this that thing 0."


def test_an_action_that_is_not_admissible_is_not_taken():
    class Confused(Oracle):
        def decide(self, view, disclosure, *, seed, taken=None):
            return Decision(reason="", action="open the window")

        def action_values(self, view, disclosure):
            return {"open the window": 1.0}

    toy = ToyEnvironment()
    task = toy.tasks("train")[0]
    with toy.open(task, seed=0) as episode:
        view = View(task=task, history=(), observation=episode.observation)
    oracle = BelievingOracle(ToyOracle(), Confused())
    assert oracle.decide(view, Disclosure.P50, seed=0).action == prize_door(task.kind)
