"""Several environments as one, for a student that learns all of them."""

from leap_exp.envs.joint.environment import JointEnvironment

__all__ = ["JointEnvironment"]
