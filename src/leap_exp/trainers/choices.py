"""What settings of trainers can be; apart from the code that uses it, which imports torch."""

from enum import StrEnum


class Steps(StrEnum):
    """Which steps of a correction are learnt from."""

    ALL = "all"
    CHANGED = "changed"
    """Those at which the teacher took another action."""


class TeacherModel(StrEnum):
    """Which model a student is distilled from."""

    CURRENT = "current"
    """The weights that are being trained, without a gradient."""
    START = "start"
    """The weights that training starts from."""
    ROUND_0 = "round0"
    """π_0 in all rounds."""
    EMA = "ema"
    """The exponential moving average of the weights of π_0 .. π_{i-1}."""
    OTHER = "other"
    """Another model of the same vocabulary."""


class Responses(StrEnum):
    """On whose responses distributions are compared."""

    STUDENT = "student"
    TEACHER = "teacher"


class Divergence(StrEnum):
    """How far a student is from its teacher."""

    FORWARD = "forward"
    """KL(teacher || student), which covers all that the teacher may do."""
    REVERSE = "reverse"
    """KL(student || teacher), which seeks what the teacher finds likeliest."""
    JENSEN_SHANNON = "jsd"
    """The generalised Jensen-Shannon divergence of Agarwal et al. (2024), arXiv:2306.13649, equation 1."""
