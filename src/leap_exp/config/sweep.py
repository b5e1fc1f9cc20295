"""The runs of a sweep: the names of their folders, and how Hydra's launchers start those that are missing."""

import copy
import os.path
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from leap_exp.config.messages import run_config
from leap_exp.config.resume import FREE_SETTINGS, check_config, resolved
from leap_exp.core.errors import ConfigError, LeapError
from leap_exp.runs import short_name
from leap_exp.runs.jobs import JobState, add_to_plan, error_line, final_value, read_job


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A run of a sweep: its name, what is set for it, and its composed configuration."""

    name: str
    overrides: tuple[str, ...]
    config: DictConfig


class SweepJobs:
    """Starts the runs of a sweep with the launcher that the user chose."""

    def __init__(self, launcher: Launcher, context: HydraContext, config: DictConfig) -> None:
        self.folder = Path(config.hydra.sweep.dir)
        self._launcher = launcher
        self._context = context
        self._config = config
        self._started = 0

    def compose(self, overrides: Sequence[str]) -> Job:
        """Return the run with these settings.

        Raises:
            HydraException: They cannot be composed.
        """
        config = self._context.config_loader.load_sweep_config(self._config, list(overrides))
        with open_dict(config):
            config.hydra.job.id, config.hydra.job.num = "", 0
        # Interpolations of hydra.job stay inside of the configuration.
        name = str(OmegaConf.select(config, "hydra.sweep.subdir"))
        return Job(name=name or ".", overrides=tuple(overrides), config=config)

    def run(self, jobs: Sequence[Job]) -> list[float | Exception]:
        """Return the value of each run, or the error that it ended with. Finished runs are not started again."""
        add_to_plan(self.folder, [job.name for job in jobs])
        outcomes: dict[str, float | Exception] = {}
        missing: dict[str, Job] = {}
        for job in jobs:
            value = self._value_if_finished(job)
            if value is None:
                missing.setdefault(job.name, job)
            else:
                print(f"{job.name}: done already")
                outcomes[job.name] = value
        if missing:
            returns = self._launcher.launch(
                [job.overrides for job in missing.values()], initial_job_idx=self._started
            )
            self._started += len(returns)
            outcomes |= {name: _outcome(each) for name, each in zip(missing, returns, strict=True)}
        return [outcomes[job.name] for job in jobs]

    def _value_if_finished(self, job: Job) -> float | None:
        """Return the value of a run that is finished with the same settings."""
        if read_job(self.folder, job.name).state is not JobState.DONE:
            return None
        run_dir = self.folder / job.name
        try:
            config = run_config(_without_hydra(job.config))
            check_config(run_dir / "config.yaml", resolved(config, job.config.hydra.runtime.choices))
            return final_value(run_dir, config.objective)
        except LeapError:
            # The run itself will report the error.
            return None


def _outcome(returned: JobReturn) -> float | Exception:
    value = returned._return_value  # noqa: SLF001 - the property prints, and raises an error instead of returning it
    return float(value) if returned.status is JobStatus.COMPLETED else value


def _without_hydra(config: DictConfig) -> DictConfig:
    config = copy.deepcopy(config)
    with read_write(config), open_dict(config):
        del config["hydra"]
    return config


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
