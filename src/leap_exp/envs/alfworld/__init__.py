"""ALFWorld: household tasks as text games."""

from leap_exp.envs.alfworld.environment import AlfworldEnvironment

__all__ = ["AlfworldEnvironment"]
