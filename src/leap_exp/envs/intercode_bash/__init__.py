"""InterCode-Bash: requests in words, answered by shell commands in a throw-away machine."""

from leap_exp.envs.intercode_bash.environment import InterCodeBashEnvironment

__all__ = ["InterCodeBashEnvironment"]
