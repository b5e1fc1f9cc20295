"""Rows: which tokens are scored, after which history, and among which options."""

from leap_exp.core.types import views
from leap_exp.tokens.spans import Role, training_rows
from leap_exp.trainers.rows import trained_steps
from tests.support.records import correction
from tests.unit.students.test_hf import student

IGNORING = correction(
    ("look", "look", "go to desk 1", "look", "look"),
    ("go to desk 1", "go to desk 1", "go to desk 1", "go to shelf 1", "go to desk 1"),
)


def scored_steps(row):
    return {span.step for span in row.spans if span.targets}


def trunk(row):
    """Return the tokens of the longest path, which is what the student saw and did."""
    place, path = len(row.tree) - 1, []
    while place >= 0:
        path.append(row.tree.tokens[place])
        place = row.tree.parents[place]
    return path[::-1]


def test_training_stops_after_a_number_of_changed_steps():
    assert trained_steps(IGNORING, None) == {0, 1, 2, 3, 4}
    assert trained_steps(IGNORING, 1) == {0}
    assert trained_steps(IGNORING, 3) == {0, 1, 2, 3}
    assert trained_steps(IGNORING, 5) == {0, 1, 2, 3, 4}


def test_demonstrations_are_trained_on_in_full():
    actions = ("look", "go to desk 1", "look", "go to desk 1")
    assert trained_steps(correction(actions, actions), 1) == {0, 1, 2, 3}


def test_a_row_holds_the_history_of_the_scored_steps_and_nothing_after_the_last():
    codec = student().codec
    (everything,) = training_rows(IGNORING, codec)
    (selected,) = training_rows(IGNORING, codec, steps=trained_steps(IGNORING, 3))
    assert scored_steps(everything) == {0, 1, 2, 3, 4}
    assert scored_steps(selected) == {0, 1, 2, 3}
    prompt = codec.prompt_ids(views(IGNORING.trajectory)[3])
    assert trunk(selected)[: len(prompt)] == prompt


def test_with_free_decoding_every_token_of_a_response_is_scored_among_the_whole_vocabulary():
    codec = student(decoding="free").codec
    (row,) = training_rows(IGNORING, codec)
    expected = [token for decision in IGNORING.decisions for token in codec.response_ids(decision)]
    assert [target for span in row.spans for target in span.targets] == expected
    assert {choice for span in row.spans for choice in span.options} == {()}


def test_restricted_to_the_admissible_actions_only_places_with_a_choice_are_scored():
    codec = student().codec
    (row,) = training_rows(correction(("look",), ("go to shelf 1",)), codec)

    def character(token):
        return student().tokenizer.decode([token])

    scored = [
        (character(target), sorted(map(character, options)))
        for span in row.spans
        for target, options in zip(span.targets, span.options, strict=True)
    ]
    assert scored == [("g", ["g", "l", "t"]), ("s", ["d", "s"]), ("1", ["1", "2"])]


def test_a_chosen_and_a_rejected_response_share_their_prompt_and_score_as_in_rows_of_their_own():
    agent = student()
    both = frozenset({Role.CHOSEN, Role.REJECTED})
    (row,) = training_rows(IGNORING, agent.codec, roles=both)
    assert [(span.step, span.role) for span in row.spans] == [
        *((0, Role.CHOSEN), (0, Role.REJECTED), (1, Role.CHOSEN), (1, Role.REJECTED), (2, Role.CHOSEN)),
        *((3, Role.CHOSEN), (3, Role.REJECTED), (4, Role.CHOSEN), (4, Role.REJECTED)),
    ]
    (together,) = agent._local.score([row])
    taken = tuple(step.decision.action for step in IGNORING.trajectory.steps)
    apart = {
        Role.CHOSEN: agent.logprobs([IGNORING]),
        Role.REJECTED: agent.logprobs([correction(taken, taken)]),
    }
    for index, span in enumerate(row.spans):
        assert abs(together.total(index) - apart[span.role][span.step]) < 1e-4
