"""The environments of leap_exp for verifiers: ``vf-eval leap-verifiers --env.taskset.environment alfworld``."""

from leap_verifiers.env import LeapEnv
from leap_verifiers.harness import LeapHarness
from leap_verifiers.taskset import LeapTaskset

__all__ = ["LeapEnv", "LeapHarness", "LeapTaskset"]
