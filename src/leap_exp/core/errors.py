"""Errors that a user can act on: one root, one subclass a boundary.

Every message carries the offending value and what to do about it.
"""


class LeapError(Exception):
    """Root of all errors that leap_exp raises on purpose."""


class ConfigError(LeapError, ValueError):
    """A configuration value or combination that cannot be run."""


class DataError(LeapError, ValueError):
    """Benchmark data that is missing, broken or of an unknown version."""


class EnvError(LeapError, RuntimeError):
    """An environment broke (as opposed to an agent acting badly in it)."""


class ProviderError(LeapError, RuntimeError):
    """A model, or a server that offers one, could not be used."""


class ParseError(LeapError, ValueError):
    """Model output that does not have the form that was asked for."""


class StoreError(LeapError, OSError):
    """A run folder that cannot be read, written or continued."""
