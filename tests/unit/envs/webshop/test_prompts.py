"""Condensed pages: fewer words, the same information."""

import pytest

from leap_exp.core.types import Observation
from leap_exp.envs.webshop.prompts import PROMPTS

RESULTS = (
    "Instruction: [SEP] find me a mug, and price lower than 20.00 dollars [SEP] Back to Search [SEP] "
    "Page 2 (Total results: 50) [SEP] < Prev [SEP] Next > [SEP] B0AAAAAAAA [SEP] Red Mug [SEP] $9.5 to $12.0 [SEP] "
    "B0BBBBBBBB [SEP] Tea [SEP] $3.0"
)


def condensed(text, *actions):
    return PROMPTS.condense(Observation(text=text, admissible_actions=actions))


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("WebShop [SEP] Instruction: [SEP] find me a mug [SEP] Search", "Task: find me a mug"),
        (RESULTS, "Page 2\nRed Mug $9.5 to $12.0\nTea $3.0"),
        (
            "Instruction: [SEP] find me a mug [SEP] Back to Search [SEP] < Prev [SEP] color [SEP] red [SEP] blue [SEP] "
            "Red Mug [SEP] Price: $9.5 [SEP] Rating: N.A. [SEP] Description [SEP] Features [SEP] Reviews [SEP] Buy Now",
            "color\nred\nblue\nRed Mug\nPrice: $9.5",
        ),
        ("Instruction: [SEP] find me a mug [SEP] Back to Search [SEP] < Prev [SEP] Holds tea", "Holds tea"),
    ],
)
def test_texts_that_all_pages_share_are_left_out(text, short):
    assert condensed(text, "click[red mug]") == short


def test_ids_are_kept_if_results_are_clicked_by_id():
    assert "B0AAAAAAAA\nRed Mug" in condensed(RESULTS, "click[b0aaaaaaaa]")
