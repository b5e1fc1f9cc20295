"""The names of a sweep's run folders, and the errors of its runs."""

import os.path
from collections.abc import Mapping
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, read_write

from leap_exp.analysis.run import FREE_SETTINGS
from leap_exp.core.errors import ConfigError, LeapError
from leap_exp.runs import short_name
from leap_exp.runs.jobs import error_line


class NameRunsByWhatVaries(Callback):
    """Leaves settings that are the same in all runs of a sweep out of the names of the run folders.

    If nothing varies, the only run is named by all settings that change its results.
    """

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ARG002, ANN401 - Hydra's interface
        """Tell Hydra which settings to leave out."""
        overrides = OverridesParser.create().parse_overrides([*config.hydra.overrides.task])
        given = {override.key_or_group for override in overrides}
        varying = {override.key_or_group for override in overrides if override.is_sweep_override()}
        from_files = set(OmegaConf.select(config, "hydra.sweeper.params") or ()) - given
        left_out = given - varying
        if not (varying or from_files or _is_run(config.hydra.sweep.dir)):
            left_out = {name for name in given if name.partition(".")[0] in FREE_SETTINGS}
        with read_write(config):
            config.hydra.overrides.hydra.append(
                f"hydra.job.config.override_dirname.exclude_keys=[{','.join(sorted(left_out))}]"
            )


class SweepError(LeapError, RuntimeError):
    """Some runs of a sweep failed; the message has a line for each.

    Attributes:
        only_config: Whether all of them failed because of their configuration.
    """

    def __init__(self, failures: Mapping[str, Exception]) -> None:
        lines = [f"{name}: {error_line(error)}" for name, error in failures.items()]
        super().__init__("\n  ".join(["Runs of the sweep that failed:", *lines]))
        self.only_config = all(isinstance(error, ConfigError) for error in failures.values())


class JobError(LeapError, RuntimeError):
    """A run failed in another process; the message is all that is known here."""


def run_folder(sweep_dir: str, name: str) -> str:
    """Return the folder in ``sweep_dir`` of the run that Hydra calls ``name``: a single folder with a short name.

    Runs of older versions keep their folders: nested ones if a value has a slash, and ``sweep_dir`` itself for a sweep
    of one run.
    """
    return name if _is_run(os.path.join(sweep_dir, name)) else short_name(name) or "run"  # noqa: PTH118 - may be empty


def _is_run(folder: str) -> bool:
    # Unlike Path.is_file, this takes a name that is too long.
    return os.path.isfile(os.path.join(folder, "config.yaml"))  # noqa: PTH113, PTH118


OmegaConf.register_new_resolver("run_folder", run_folder, replace=True)
