"""The configuration of a run: schemas, the groups they make up, and how a command line becomes a RunConfig."""

from leap_exp.config.run import RunConfig

__all__ = ["RunConfig"]
