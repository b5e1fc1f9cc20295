"""Trials of Optuna: what a run reports after each round, and whether it should end early.

The sweeper passes the trial in an environment variable of the run, because the run may be in another process.
"""

import math
import os
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate

from leap_exp.core.errors import ConfigError
from leap_exp.runs.jobs import PrunedError

if TYPE_CHECKING:
    from optuna import Study
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

TRIAL_VARIABLE = "LEAP_TRIAL"
"""Has NUMBER:FILE of the trial that a run is."""


def open_study(
    file: str, *, direction: str, sampler: "BaseSampler | None" = None, pruner: "BasePruner | None" = None
) -> "Study":
    """Return the study in ``file``, a log of Optuna, which several machines may use at a time; makes it if needed.

    Raises:
        ConfigError: Optuna is not installed.
    """
    try:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
    except ImportError as error:
        raise ConfigError("hydra/sweeper=optuna needs Optuna: pip install 'leap-exp[optuna]'.") from error

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        study_name="leap",
        storage=JournalStorage(JournalFileBackend(file)),
        direction=direction,
        sampler=sampler,
        pruner=pruner,
        load_if_exists=True,
    )


def report_round(value: float, index: int, *, last: bool) -> None:
    """Report ``value`` as that of a round, if this run is a trial.

    Raises:
        PrunedError: The study's pruner says that the trial is not worth going on. The last round is never pruned.
    """
    number, _, file = os.environ.get(TRIAL_VARIABLE, "").partition(":")
    if not file:
        return
    from optuna.trial import Trial

    sweeper = HydraConfig.get().sweeper
    study = open_study(file, direction=sweeper.direction, pruner=instantiate(sweeper.pruner))
    stored = study.get_trials(deepcopy=False)[int(number)]
    # The only way to a trial that another process asked for.
    trial = Trial(study, stored._trial_id)
    if index not in stored.intermediate_values and not math.isnan(value):
        trial.report(value, index)
    if not last and trial.should_prune():
        raise PrunedError(f"pruned after round {index}, with {value:.4g}")
