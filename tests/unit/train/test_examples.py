"""Training rows: which steps become targets."""

from leap_exp.train.examples import IGNORED, new_lessons, training_rows
from tests.unit.records import correction
from tests.unit.students.test_hf import student

IGNORING = correction(
    ("look", "look", "go to desk 1", "look", "look"),
    ("go to desk 1", "go to desk 1", "go to desk 1", "go to shelf 1", "go to desk 1"),
)


def test_what_the_teacher_repeats_to_a_student_that_ignores_it_is_a_lesson_once():
    # Step 2 is new: there the student did as it was told, on an observation of its own.
    assert new_lessons(IGNORING) == {0, 2, 3}


def test_demonstrations_lose_nothing():
    actions = ("look", "go to desk 1", "look", "go to desk 1")
    assert new_lessons(correction(actions, actions)) == {0, 1, 2, 3}


def test_rows_keep_the_whole_history_but_only_the_targets_asked_for():
    codec = student().codec
    (everything,) = training_rows(IGNORING, codec)
    (chosen,) = training_rows(IGNORING, codec, taught=new_lessons(IGNORING))
    assert {step for step in everything.steps if step != IGNORED} == {0, 1, 2, 3, 4}
    assert {step for step in chosen.steps if step != IGNORED} == {0, 2, 3}

    def trunk(row):
        return [token for token, branch in zip(row.ids, row.branches, strict=True) if branch < 0]

    assert trunk(chosen) == trunk(everything)[: len(trunk(chosen))]
    assert len(trunk(chosen)) == len(trunk(everything))
