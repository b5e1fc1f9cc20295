"""Packages that only training needs: the extra ``leap-exp[train]``."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from leap_exp.core.errors import ConfigError

TRAINING_PACKAGES = ("accelerate", "gguf", "openai", "peft", "scipy", "statsmodels", "torch", "transformers", "wandb")


@contextmanager
def training_extra_named() -> Iterator[None]:
    """Where the code inside fails because a package for training is not installed, name the extra that has it.

    Raises:
        ConfigError: In place of the ModuleNotFoundError.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in TRAINING_PACKAGES:
            raise
        raise ConfigError(
            f'This needs the training stack, and the package {package} is not installed: pip install "leap-exp[train]".'
        ) from error


def training_is_installed() -> bool:
    """Return whether all packages for training are installed."""
    return all(find_spec(package) for package in TRAINING_PACKAGES)
