"""What sweepers share: the runs of a sweep, of which a launcher starts those that are not finished."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from leap_exp.config.messages import run_config
from leap_exp.config.resume import check_config, resolved
from leap_exp.core.errors import LeapError
from leap_exp.runs.jobs import JobState, add_to_plan, final_value, read_job


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
            returns = self._launcher.launch([job.overrides for job in missing.values()], initial_job_idx=self._started)
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
    # The property would print, and raise an error instead of returning it.
    value = returned._return_value
    return float(value) if returned.status is JobStatus.COMPLETED else value


def _without_hydra(config: DictConfig) -> DictConfig:
    config = copy.deepcopy(config)
    with read_write(config), open_dict(config):
        del config["hydra"]
    return config
