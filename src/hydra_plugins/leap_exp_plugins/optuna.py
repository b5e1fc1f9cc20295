"""The sweeper that searches with Optuna.

Our own because hydra-optuna-sweeper (1.3.0) needs Optuna 2, whose storages do not work with the present SQLAlchemy; it
also has no pruning, and an interrupted study starts over.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from hydra.utils import instantiate
from omegaconf import DictConfig

from hydra_plugins.leap_exp_plugins.jobs import SweepJobs
from leap_exp.config.arguments import quote
from leap_exp.config.sweep import JobError, SweepError
from leap_exp.config.trials import TRIAL_VARIABLE, open_study
from leap_exp.core.errors import ConfigError
from leap_exp.runs import write_document
from leap_exp.runs.jobs import PrunedError

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial, Trial

STUDY_NAME, RESULT_NAME = "optuna.log", "optuna.json"


class OptunaSweeper(Sweeper):
    """Searches for the settings with the best objective. The study is kept in the folder of the sweep."""

    def __init__(
        self,
        *,
        direction: str,
        n_trials: int,
        n_jobs: int,
        sampler: DictConfig,
        pruner: DictConfig,
        params: DictConfig | None,
    ) -> None:
        self._direction = direction
        self._n_trials = n_trials
        self._n_jobs = n_jobs
        self._sampler = sampler
        self._pruner = pruner
        self._params: Mapping[Any, Any] = params or {}
        self._exhausted = False

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Make the launcher; called by Hydra."""
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )
        self._jobs = SweepJobs(launcher, hydra_context, config)

    def sweep(self, arguments: list[str]) -> None:
        """Run trials until ``n_trials`` are complete or pruned; those that fail now are not repeated now.

        Raises:
            ConfigError: There is nothing to draw, or Optuna is not installed.
            SweepError: Some of the trials failed.
        """
        swept = [*(f"{name}={values}" for name, values in self._params.items()), *arguments]
        # The last of several values for a setting holds.
        overrides = {each.get_key_element(): each for each in OverridesParser.create().parse_overrides(swept)}
        study = self._open_study()
        space = {name: _distribution(each) for name, each in overrides.items() if each.is_sweep_override()}
        fixed = [str(each.input_line) for each in overrides.values() if not each.is_sweep_override()]
        if not space:
            raise ConfigError("There is nothing to search: give a setting several values, as in seed=0,1,2.")
        interrupted = _trials(study, "RUNNING")
        _ask_again_for_failed(study)
        missing = self._n_trials - len(_trials(study, "COMPLETE", "PRUNED"))
        failures: dict[str, Exception] = {}
        for start in range(0, missing, self._n_jobs):
            count = min(self._n_jobs, missing - start)
            trials = [interrupted.pop(0) if interrupted else study.ask(space) for _ in range(count)]
            failures |= self._run(study, trials, fixed)
            if self._exhausted:
                break
        self._write_best(study)
        if failures:
            raise SweepError(failures)

    def _open_study(self) -> "Study":
        self._jobs.folder.mkdir(parents=True, exist_ok=True)
        self._file = str((self._jobs.folder / STUDY_NAME).absolute())
        # Without Optuna this is a clear error, while making a sampler would be another one.
        open_study(self._file, direction=self._direction)
        sampler, pruner = instantiate(self._sampler), instantiate(self._pruner)
        return open_study(self._file, direction=self._direction, sampler=sampler, pruner=pruner)

    def _run(
        self, study: "Study", trials: "Sequence[Trial | FrozenTrial]", fixed: Sequence[str]
    ) -> dict[str, Exception]:
        """Run ``trials``, tell the study how they ended, and return the failures by the names of the runs."""
        jobs = [self._jobs.compose([*fixed, *_overrides(trial), self._environment(trial.number)]) for trial in trials]
        failures: dict[str, Exception] = {}
        for trial, job, outcome in zip(trials, jobs, self._jobs.run(jobs), strict=True):
            if isinstance(outcome, PrunedError):
                self._tell(study, trial, state="PRUNED")
            elif isinstance(outcome, Exception) or math.isnan(outcome):
                self._tell(study, trial, state="FAIL")
                failures[job.name] = outcome if isinstance(outcome, Exception) else JobError("no episode was scored")
            else:
                self._tell(study, trial, state="COMPLETE", value=outcome)
        return failures

    def _tell(self, study: "Study", trial: "Trial | FrozenTrial", *, state: str, value: float | None = None) -> None:
        from optuna.trial import TrialState

        try:
            study.tell(trial.number, value, TrialState[state])
        except RuntimeError as error:
            # Samplers of all combinations end the study when there are no more, after they have stored the trial.
            if "Study.stop" not in str(error):
                raise
            self._exhausted = True

    def _environment(self, number: int) -> str:
        """Return the override by which a run knows which trial it is."""
        return f"++hydra.job.env_set.{TRIAL_VARIABLE}={quote(f'{number}:{self._file}')}"

    def _write_best(self, study: "Study") -> None:
        """Write and print the best trial."""
        complete = _trials(study, "COMPLETE")
        if not complete:
            return
        best = study.best_trial
        counts = {state: len(_trials(study, state)) for state in ("COMPLETE", "PRUNED", "FAIL")}
        result = {"best_value": best.value, "best_settings": _overrides(best), "trials": counts}
        write_document(self._jobs.folder / RESULT_NAME, result)
        print(f"Best of {len(complete)} trials: {best.value:.4g} with {' '.join(_overrides(best))}")


def _distribution(override: Override) -> "BaseDistribution":
    """Return what Optuna draws the values of a swept setting from."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value = override.value()
    low: float | None
    high: float | None
    step: float | None
    if isinstance(value, IntervalSweep):
        low, high, step = value.start, value.end, None
    elif isinstance(value, RangeSweep):
        values = sorted(value.range())
        low, high, step = values[0], values[-1], abs(value.step)
    else:
        return CategoricalDistribution(list(override.sweep_string_iterator()))
    log = "log" in value.tags
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=log, step=int(step or 1))
    assert low is not None and high is not None  # noqa: S101 - Hydra's grammar asks for both
    return FloatDistribution(low, high, log=log, step=step)


def _overrides(trial: "Trial | FrozenTrial") -> list[str]:
    return [f"{name}={value}" for name, value in trial.params.items()]


def _trials(study: "Study", *states: str) -> "list[FrozenTrial]":
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.name in states]


def _ask_again_for_failed(study: "Study") -> None:
    """Let the study begin with the settings of trials that failed in earlier calls, each once."""
    others = [trial.params for trial in _trials(study, "COMPLETE", "PRUNED", "RUNNING", "WAITING")]
    for trial in _trials(study, "FAIL"):
        if trial.params not in others:
            study.enqueue_trial(trial.params)
            others.append(trial.params)
