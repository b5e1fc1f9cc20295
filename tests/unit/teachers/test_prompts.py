"""The prompts of teachers: no facts without privilege, the same facts under different rules, nothing of later steps."""

from dataclasses import replace
from importlib.resources import files

import jinja2
import pytest

from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import Briefing, Decision, PrivilegedFacts, views
from leap_exp.teachers.prompts import PACKAGE, TeachingRenderer, facts_prompt, reason_prompt
from leap_exp.tokens.templating import render
from tests.support.records import ACTIONS, trajectory

FACTS = PrivilegedFacts(task_id="alfworld/0", text="The mug is in cabinet 77.")
ENVIRONMENTS = {
    name: files(f"leap_exp.envs.{name}.prompts").joinpath("teacher.j2").read_text(encoding="utf-8")
    for name in ("alfworld", "intercode_bash", "webshop")
} | {"without a description": ""}
WALK = trajectory("look", "go to desk 1", "go to shelf 2")


def briefing(disclosure):
    return Briefing(disclosure=disclosure, facts=None if disclosure is Disclosure.NONE else FACTS)


def prompts(environment, disclosure):
    """The prompts for corrections and rankings, each for a trajectory and for a step."""
    renderer = TeachingRenderer(ENVIRONMENTS[environment])
    view = views(WALK)[1]
    return [
        renderer.trajectory(WALK, briefing(disclosure)),
        renderer.step(view, WALK.steps[1].decision, briefing(disclosure)),
        renderer.trajectory_ranking(WALK, [["look", "wait"]] * 3, briefing(disclosure)),
        renderer.step_ranking(view, ["look", "wait"], briefing(disclosure)),
    ]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_without_privilege_the_prompt_contains_no_facts(environment):
    for prompt in prompts(environment, Disclosure.NONE):
        assert "cabinet 77" not in prompt.system + prompt.user
        assert "Facts" not in prompt.user
        assert "You know no more than the agent does." in prompt.system


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_from_p25_to_p100_only_the_rule_differs(environment):
    levels = [level for level in Disclosure if level is not Disclosure.NONE]
    rules = {level: TeachingRenderer(ENVIRONMENTS[environment]).rule(briefing(level)) for level in levels}
    assert len(set(rules.values())) == 4
    for mode in range(4):
        asked = {level: prompts(environment, level)[mode] for level in levels}
        assert len({prompt.user for prompt in asked.values()}) == 1
        assert asked[Disclosure.P25].user.count(FACTS.text) == 1
        assert len({prompt.system.replace(rules[level], "RULE") for level, prompt in asked.items()}) == 1


def test_each_environment_has_its_own_prompt():
    assert len({prompts(environment, Disclosure.P50)[0].system for environment in ENVIRONMENTS}) == len(ENVIRONMENTS)


def test_a_trajectory_is_shown_step_by_step_with_its_admissible_actions():
    prompt, *_ = prompts("alfworld", Disclosure.P50)
    assert prompt.user.index("Step 1\nObservation: You arrive at place 0") < prompt.user.index("Step 3\nObservation:")
    assert prompt.user.count("- go to shelf 1\n") == 3
    assert "The agent's action: go to desk 1" in prompt.user
    assert "which scored 0.00 of 1" in prompt.user
    assert '3 entries in "steps"' in prompt.user
    assert "\n\n\n" not in prompt.user


def test_admissible_actions_and_reasons_are_shown_only_if_there_are_any():
    step = WALK.steps[0]
    free = replace(
        step,
        observation=replace(step.observation, admissible_actions=None),
        decision=Decision(reason="Let us see.", action="ls"),
    )
    prompt = TeachingRenderer(ENVIRONMENTS["intercode_bash"]).trajectory(
        replace(WALK, steps=(free,)), briefing(Disclosure.NONE)
    )
    assert "Admissible" not in prompt.user
    assert "The agent's reason: Let us see.\nThe agent's action: ls" in prompt.user
    assert "Admissible" in prompts("alfworld", Disclosure.NONE)[0].user


def test_the_request_for_a_step_shows_nothing_that_came_after_it():
    prompt = prompts("alfworld", Disclosure.P50)[1]
    assert "place 0" in prompt.user
    assert prompt.user.endswith("The agent's action: go to desk 1")
    assert "place 2" not in prompt.user
    assert "scored" not in prompt.user


def test_rankings_are_requested_by_number_for_all_steps_or_for_one_without_what_came_after_it():
    *_, trajectory_prompt, step_prompt = prompts("alfworld", Disclosure.P50)
    assert trajectory_prompt.user.count("Actions to rank:\n1. look\n2. wait\n") == 3
    assert '3 entries in "rankings"' in trajectory_prompt.user
    assert "place 2" in trajectory_prompt.user
    assert step_prompt.user.endswith("Actions to rank:\n1. look\n2. wait")
    assert "go to desk 1" not in step_prompt.user
    assert "place 2" not in step_prompt.user
    for prompt in (trajectory_prompt, step_prompt):
        assert "the best first, 5 at most" in prompt.system
        assert "scored" not in prompt.user
        assert "\n\n\n" not in prompt.user


@pytest.mark.parametrize("index", range(3))
def test_the_request_for_a_reason_shows_nothing_that_came_later(index):
    walk = trajectory("act zero", "act one", "act two")
    prompt = reason_prompt(views(walk)[index], walk.steps[index].decision.action)
    shown = [f"place {place}," in prompt.user for place in range(3)]
    taken = [f"act {word}" in prompt.user for word in ("zero", "one", "two")]
    assert shown == taken == [place <= index for place in range(3)]
    assert "scored" not in prompt.user
    assert all(action in prompt.user for action in ACTIONS)
    # The same prompt whatever comes after the step.
    cut = replace(walk, steps=walk.steps[: index + 1], score=1.0)
    assert reason_prompt(views(cut)[index], cut.steps[index].decision.action) == prompt


def test_the_request_for_facts_shows_the_whole_log():
    user = facts_prompt(WALK).user
    assert all(f"place {place}," in user for place in range(3))


def test_another_attempt_says_what_was_wrong():
    prompt, *_ = prompts("webshop", Disclosure.P50)
    again = prompt.again("It has 2 entries for 3 steps.")
    assert again.system == prompt.system
    assert again.user.startswith(prompt.user)
    assert "It has 2 entries for 3 steps." in again.user


def test_a_missing_template_variable_is_an_error():
    with pytest.raises(jinja2.UndefinedError):
        render(PACKAGE, "correct/system.j2", mode="step", rule="")
