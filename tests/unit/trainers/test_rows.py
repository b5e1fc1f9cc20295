"""From corrections to rows: which steps, which responses, and with which prompts."""

import dataclasses

from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import Briefing, Decision, Observation, PrivilegedFacts, Step, views
from leap_exp.tokens.briefed import BriefedCodec
from leap_exp.tokens.spans import Role
from leap_exp.trainers.choices import Steps
from leap_exp.trainers.rows import learning_rows
from tests.support.records import ACTIONS, correction
from tests.unit.students.test_hf import student

LESSON = correction(("look", "go to desk 1", "look"), ("go to shelf 1", "go to desk 1", "go to desk 1"))


def briefed(corrected, **changes):
    facts = PrivilegedFacts(task_id=corrected.trajectory.task.id, text="The mug is on desk 1.")
    return dataclasses.replace(corrected, briefing=Briefing(disclosure=Disclosure.P100, facts=facts), **changes)


def found(lesson, *roles, codec=None, **options):
    return learning_rows([lesson], codec or student().codec, frozenset(roles), **options)


def scored(rows):
    return [(span.step, span.role.value) for row in rows for span in row.spans]


def test_only_changed_steps_are_learnt_from():
    assert scored(found(LESSON, Role.CHOSEN)) == [(0, "chosen"), (1, "chosen"), (2, "chosen")]
    assert scored(found(LESSON, Role.CHOSEN, steps=Steps.CHANGED)) == [(0, "chosen"), (2, "chosen")]
    assert scored(found(LESSON, Role.CHOSEN, steps=Steps.CHANGED, max_changed_steps=1)) == [(0, "chosen")]


def test_a_decision_with_another_reason_for_the_same_action_is_not_rejected():
    codec = student(reasons=True).codec
    reasoned = dataclasses.replace(
        LESSON, decisions=tuple(Decision(reason="Why.", action=decision.action) for decision in LESSON.decisions)
    )
    spans = scored(found(reasoned, Role.CHOSEN, Role.REJECTED, codec=codec))
    assert spans == [(0, "chosen"), (0, "rejected"), (1, "chosen"), (2, "chosen"), (2, "rejected")]


def test_the_student_s_own_responses_are_compared_after_the_briefing_where_there_are_facts():
    agent = student()
    (row,) = found(briefed(LESSON), Role.OWN, Role.CHOSEN, codec=agent.codec)
    assert scored([row]) == [(0, "chosen"), (0, "own"), (1, "chosen"), (1, "own"), (2, "chosen"), (2, "own")]
    (teachers,) = row.briefed
    assert scored([teachers]) == [(0, "own"), (1, "own"), (2, "own")]
    own = [span for span in row.spans if span.role is Role.OWN]
    assert [span.targets for span in teachers.spans] == [span.targets for span in own]
    prompt = BriefedCodec(agent.codec).prompt_ids(views(LESSON.trajectory)[0], briefed(LESSON).briefing)
    assert teachers.tree.tokens[: len(prompt)] == tuple(prompt)
    (plain,) = found(LESSON, Role.OWN, Role.CHOSEN, codec=agent.codec)
    assert scored([plain]) == [(0, "chosen"), (1, "chosen"), (2, "chosen")]
    assert plain.briefed == ()


def test_rows_with_and_without_the_briefing_score_the_same_tokens_when_turns_are_dropped():
    long = briefed(correction(("look",) * 12, ("go to desk 1",) * 12))
    rows = found(long, Role.OWN, codec=student(context_length=520).codec)
    assert sum(len(row.briefed) for row in rows) > len(rows)
    for row in rows:
        targets = [target for span in row.spans for target in span.targets]
        assert targets == [target for part in row.briefed for span in part.spans for target in span.targets]


def test_a_briefing_without_room_costs_its_rows_only(caplog):
    facts = PrivilegedFacts(task_id="x", text="The mug is on desk 1. " * 40)
    too_long = dataclasses.replace(LESSON, briefing=Briefing(disclosure=Disclosure.P100, facts=facts))
    rows = learning_rows([too_long, briefed(LESSON)], student(context_length=800).codec, frozenset({Role.OWN}))
    assert len(rows) == 1
    assert "briefing leaves no room" in caplog.text


def test_a_demonstration_to_be_cloned_with_its_briefing_has_it_in_the_prompt():
    codec = student().codec
    (plain,), (with_facts,) = (found(briefed(LESSON, briefed=how), Role.CHOSEN, codec=codec) for how in (False, True))
    text = student().tokenizer.decode(with_facts.tree.tokens)
    assert "The mug is on desk 1." in text
    assert "The mug is on desk 1." not in student().tokenizer.decode(plain.tree.tokens)
    assert [span.targets for span in with_facts.spans] == [span.targets for span in plain.spans]


def test_inadmissible_actions_of_the_student_can_be_left_out():
    steps = list(LESSON.trajectory.steps)
    steps[1] = dataclasses.replace(steps[1], decision=Decision(reason="", action="fly"))
    lesson = dataclasses.replace(
        briefed(LESSON), trajectory=dataclasses.replace(LESSON.trajectory, steps=tuple(steps)), changed=(True,) * 3
    )
    assert scored(found(lesson, Role.OWN)) == [(0, "own"), (1, "own"), (2, "own")]
    assert scored(found(lesson, Role.OWN, only_admissible=True)) == [(0, "own"), (2, "own")]


def test_mismatched_responses_belong_to_other_steps_and_can_be_taken_there():
    codec = student().codec
    only = Observation(text="A dead end.", admissible_actions=("look", "go to shelf 2"))
    step = Step(observation=only, decision=Decision(reason="", action="look"), reward=0.0)
    narrow = dataclasses.replace(LESSON.trajectory, steps=(step,))
    lessons = [
        LESSON,
        dataclasses.replace(
            LESSON, trajectory=narrow, decisions=(Decision(reason="", action="go to shelf 2"),), changed=(True,)
        ),
    ]
    rows = learning_rows(lessons, codec, frozenset({Role.CHOSEN, Role.MISMATCHED}), steps=Steps.CHANGED)
    # In the dead end nothing else could be done.
    assert scored(rows) == [(0, "chosen"), (0, "mismatched"), (2, "chosen"), (2, "mismatched"), (0, "chosen")]
    possible = {codec.action_ids(action) for action in ACTIONS}
    for span in rows[0].spans:
        if span.role is Role.MISMATCHED:
            taken = {LESSON.trajectory.steps[span.step].action, LESSON.decisions[span.step].action}
            assert any(
                set(span.targets) <= set(ids) for ids in possible - {codec.action_ids(action) for action in taken}
            )
    again = learning_rows(lessons, codec, frozenset({Role.CHOSEN, Role.MISMATCHED}), steps=Steps.CHANGED)
    assert again == rows
