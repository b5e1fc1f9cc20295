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
        """Submit the jobs and wait until all of them have ended.

        Raises:
            JobError: They cannot be submitted.
        """
        from hydra_plugins.hydra_submitit_launcher.submitit_launcher import BaseSubmititLauncher

        job = BaseSubmititLauncher()
        job.setup(**self._hydra)
        state = Singleton.get_state()
        arguments = [
            (list(overrides), "hydra.sweep.dir", number, str(number), state)
            for number, overrides in enumerate(job_overrides, start=initial_job_idx)
        ]
        try:
            jobs = self._executor().map_array(job, *zip(*arguments, strict=True))
        except (OSError, RuntimeError, ValueError) as error:
            reason = str(error).strip().splitlines()
            raise JobError(
                f"The jobs cannot be submitted to {self.cluster}: {reason[0] if reason else error}"
            ) from error
        print(f"Submitted {len(jobs)} jobs to {self.cluster}: {', '.join(each.job_id for each in jobs)}")
        return [_returned(each) for each in jobs]

    def _executor(self) -> "submitit.AutoExecutor":
        import submitit
        from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf

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
        return executor


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
        (returned,) = job.results()
    except UncompletedJobError as error:
        line = last_log_line(job.paths.stderr) or str(error).splitlines()[0]
        return JobReturn(status=JobStatus.FAILED, _return_value=JobError(f"job {job.job_id} was killed: {line}"))
    assert isinstance(returned, JobReturn)  # noqa: S101 - what Hydra's job returns
    return returned
