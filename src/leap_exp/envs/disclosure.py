"""The rule, shared by the scripted experts, for when a reason may reveal a hidden fact."""

from random import Random

from leap_exp.core.privilege import Disclosure

P75_SHARE = 0.25
"""Share of the reasons at P75 that reveal a hidden fact, among those that have one to reveal."""


def may_reveal(disclosure: Disclosure, rng: Random) -> bool:
    """Return whether a reason may reveal a hidden fact: never up to P50, sometimes at P75, always at P100.

    One number is drawn from ``rng`` at P75, and none at the other levels.
    """
    return disclosure is Disclosure.P100 or (disclosure is Disclosure.P75 and rng.random() < P75_SHARE)
