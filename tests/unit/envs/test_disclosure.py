from random import Random

import pytest

from leap_exp.core.privilege import Disclosure
from leap_exp.envs.disclosure import P75_SHARE, may_reveal


@pytest.mark.parametrize(
    ("disclosure", "share"),
    [
        (Disclosure.NONE, 0.0),
        (Disclosure.P25, 0.0),
        (Disclosure.P50, 0.0),
        (Disclosure.P75, P75_SHARE),
        (Disclosure.P100, 1.0),
    ],
)
def test_share_of_reasons_that_reveal_a_hidden_fact(disclosure, share):
    rng = Random(0)
    revealed = sum(may_reveal(disclosure, rng) for _ in range(10_000)) / 10_000
    assert revealed == pytest.approx(share, abs=0.02)


def test_only_p75_draws_from_the_generator():
    for disclosure in Disclosure:
        rng = Random(0)
        may_reveal(disclosure, rng)
        assert (rng.getstate() != Random(0).getstate()) == (disclosure is Disclosure.P75)
