"""ALFWorld: household tasks as text games, on a fast engine of our own or on the original TextWorld engine."""

from leap_exp.envs.alfworld.environment import AlfworldEnvironment

__all__ = ["AlfworldEnvironment"]
