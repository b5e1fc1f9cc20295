"""How much of what a teacher knows may show in its corrections (Choudhury & Sodhi 2025, privilege ablation)."""

from enum import StrEnum


class Disclosure(StrEnum):
    """The rule for using privileged facts; from P25 to P100 the facts are the same, only the rule changes."""

    NONE = "none"
    """No facts: the teacher acts on the history alone."""
    P25 = "p25"
    """Facts used sparingly: the kind of place, never an id, and a systematic search."""
    P50 = "p50"
    """The facts choose the action; the reason gives a general ground and reveals nothing hidden."""
    P75 = "p75"
    """As P50, but now and then the reason names what is hidden."""
    P100 = "p100"
    """The reason says outright what is hidden."""

    @property
    def percent(self) -> int:
        """The level as the paper gives it, 0 to 100."""
        return 0 if self is Disclosure.NONE else int(self.value[1:])
