"""How a teacher may use and disclose privileged facts (Choudhury & Sodhi 2025, privilege ablation)."""

from enum import StrEnum


class Disclosure(StrEnum):
    """The rule for using privileged facts; from P25 to P100 the facts are the same, only the rule changes."""

    NONE = "none"
    """No facts: the teacher acts on the history alone."""
    P25 = "p25"
    """Facts used sparingly: kinds of places but no ids, and a systematic search."""
    P50 = "p50"
    """The facts choose the action; the reason is general and reveals nothing hidden."""
    P75 = "p75"
    """As P50, but some reasons reveal what is hidden."""
    P100 = "p100"
    """Reasons state outright what is hidden."""

    @property
    def percent(self) -> int:
        """The level in the paper's numbers, 0 to 100."""
        return 0 if self is Disclosure.NONE else int(self.value[1:])


class Control(StrEnum):
    """What a teacher is told in place of the facts about a task, to find out what true facts add."""

    SHUFFLED = "shuffled"
    """The facts of another task."""
    WRONG = "wrong"
    """Facts that contradict the task's own."""
    PLACEBO = "placebo"
    """A text of the same form that says nothing."""
