"""Launchers for Slurm, and for processes on this machine, through submitit (``pip install 'leap-exp[slurm]'``)."""

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, ClassVar

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from leap_exp.config.sweep import JobError
from leap_exp.runs.jobs import last_log_line

if TYPE_CHECKING:
    import submitit


class _SubmititLauncher(Launcher):
    """Hydra's submitit launcher, except that a job that was killed does not end the command before the others.

    The jobs themselves are those of Hydra's launcher, which knows how to put itself back into the queue.
    """

    cluster: ClassVar[str]

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - the settings of Hydra's launcher
        self._settings = settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what jobs need; called by Hydra."""
        self._hydra = {"hydra_context": hydra_context, "task_function": task_function, "config": config}

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        """Submit the jobs and wait until all of them have ended."""
        import submitit
        from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf
        from hydra_plugins.hydra_submitit_launcher.submitit_launcher import BaseSubmititLauncher

        job = BaseSubmititLauncher()
        job.setup(**self._hydra)
        settings = {
            name: OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
            for name, value in self._settings.items()
        }
        folder = settings.pop("submitit_folder")
        timeouts = {f"{self.cluster}_max_num_timeout": settings.pop("max_num_timeout", 0)}
        executor = submitit.AutoExecutor(folder, cluster=self.cluster, **timeouts)
        shared = {field.name for field in fields(BaseQueueConf)}
        executor.update_parameters(
            **{name if name in shared else f"{self.cluster}_{name}": value for name, value in settings.items()}
        )
        numbers = range(initial_job_idx, initial_job_idx + len(job_overrides))
        state = Singleton.get_state()
        arguments = [(list(each), "hydra.sweep.dir", n, str(n), state) for n, each in zip(numbers, job_overrides)]
        jobs = executor.map_array(job, *zip(*arguments, strict=True))
        print(f"Submitted {len(jobs)} jobs to {self.cluster}: {', '.join(each.job_id for each in jobs)}")
        return [_returned(each) for each in jobs]


class SlurmLauncher(_SubmititLauncher):
    """Runs each job under Slurm; the jobs of a sweep are one array."""

    cluster = "slurm"


class LocalLauncher(_SubmititLauncher):
    """Runs all jobs at once on this machine, each in its own process."""

    cluster = "local"


def _returned(job: "submitit.Job[JobReturn]") -> JobReturn:
    """Wait for a job and return what it returned; if it was killed, a failure with the last line of its log."""
    from submitit.core.utils import UncompletedJobError

    try:
        return job.results()[0]
    except UncompletedJobError as error:
        line = last_log_line(job.paths.stderr) or str(error).splitlines()[0]
        return JobReturn(status=JobStatus.FAILED, _return_value=JobError(f"job {job.job_id} was killed: {line}"))
