"""A model as a reader gives the probabilities that the model itself gives."""

import pytest
import torch

from leap_exp.students.config import HfStudentConfig
from leap_exp.students.hf import HfStudent
from leap_exp.students.reader import ModelReader
from tests.support.toy import ToyEnvironment

CONFIG = HfStudentConfig(model="tiny", format="plain", reasons=False, list_actions=False, dtype="float32")


def test_a_candidate_has_the_probability_of_its_tokens_after_the_text():
    student = HfStudent(CONFIG, ToyEnvironment())
    text, places = "You see a drawer. The mug is at the", ["drawer 1", "drawer 11"]
    (found,) = ModelReader(student).logprobs([text], [places])
    model = student.frozen_model().eval()
    for place in places:
        prompt, ids = student.codec.text_ids(text), student.codec.text_ids(f" {place}.\n")
        with torch.no_grad():
            logits = model(torch.tensor([[*prompt, *ids]])).logits[0].log_softmax(-1)
        expected = sum(logits[len(prompt) - 1 + index, token].item() for index, token in enumerate(ids))
        assert found[place] == pytest.approx(expected, abs=1e-3)
