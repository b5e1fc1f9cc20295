"""Training rows: which steps become targets."""

from leap_exp.core.types import views
from leap_exp.train.examples import IGNORED, taught_steps, training_rows
from tests.unit.records import correction
from tests.unit.students.test_hf import student

IGNORING = correction(
    ("look", "look", "go to desk 1", "look", "look"),
    ("go to desk 1", "go to desk 1", "go to desk 1", "go to shelf 1", "go to desk 1"),
)


def test_steps_are_taught_up_to_a_number_of_mistakes():
    assert taught_steps(IGNORING, None) == {0, 1, 2, 3, 4}
    assert taught_steps(IGNORING, 1) == {0}
    assert taught_steps(IGNORING, 3) == {0, 1, 2, 3}
    assert taught_steps(IGNORING, 5) == {0, 1, 2, 3, 4}


def test_demonstrations_lose_nothing():
    actions = ("look", "go to desk 1", "look", "go to desk 1")
    assert taught_steps(correction(actions, actions), 1) == {0, 1, 2, 3}


def trunk(row):
    return [token for token, branch in zip(row.ids, row.branches, strict=True) if branch < 0]


def test_rows_keep_the_history_of_the_targets_asked_for_and_nothing_after_the_last():
    codec = student().codec
    (everything,) = training_rows(IGNORING, codec)
    (chosen,) = training_rows(IGNORING, codec, taught=taught_steps(IGNORING, 3))
    assert {step for step in everything.steps if step != IGNORED} == {0, 1, 2, 3, 4}
    assert {step for step in chosen.steps if step != IGNORED} == {0, 1, 2, 3}
    assert trunk(chosen) == trunk(everything)[: len(trunk(chosen))]
    last_view = views(IGNORING.trajectory)[3]
    assert trunk(chosen) == codec.prompt_ids(last_view)


def test_with_free_decoding_every_token_of_a_response_is_a_target_among_the_whole_vocabulary():
    codec = student(decoding="free").codec
    (row,) = training_rows(IGNORING, codec)
    taught = [token for decision in IGNORING.decisions for token in codec.response_ids(decision)]
    assert [target for target in row.targets if target != IGNORED] == taught
    assert set(row.options) == {()}


def test_restricted_to_the_admissible_actions_only_places_with_a_choice_are_targets():
    codec = student().codec
    (row,) = training_rows(correction(("look",), ("go to shelf 1",)), codec)

    def character(token):
        return student().tokenizer.decode([token])

    chosen = [
        (character(target), sorted(map(character, options)))
        for target, options in zip(row.targets, row.options, strict=True)
        if target != IGNORED
    ]
    assert chosen == [("g", ["g", "l", "t"]), ("s", ["d", "s"]), ("1", ["1", "2"])]
