"""Errors that a user can act on: one root, and one subclass per boundary.

Every message gives the offending value and a way out.
"""


class LeapError(Exception):
    """Root of all errors that leap_exp raises deliberately."""


class ConfigError(LeapError, ValueError):
    """An invalid setting or combination of settings."""


class DataError(LeapError, ValueError):
    """Benchmark data that is missing, damaged or of an unknown version."""


class EnvError(LeapError, RuntimeError):
    """An environment crashed (as opposed to an agent acting badly in it)."""


class ProviderError(LeapError, RuntimeError):
    """A model, or a server that offers one, could not be used."""


class TrainingError(LeapError, RuntimeError):
    """A process that trains failed."""


class ParseError(LeapError, ValueError):
    """Model output that does not have the required form."""


class StoreError(LeapError, OSError):
    """A run folder that cannot be read, written or resumed."""
