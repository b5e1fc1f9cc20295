"""InterCode-Bash: queries in natural language, answered with shell commands in a sandbox."""

from leap_exp.envs.intercode_bash.environment import InterCodeBashEnvironment

__all__ = ["InterCodeBashEnvironment"]
