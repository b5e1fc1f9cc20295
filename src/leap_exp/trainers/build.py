"""From the settings of a trainer to its objectives."""

from leap_exp.tokens.spans import Role
from leap_exp.trainers.choices import Divergence, Responses, TeacherModel
from leap_exp.trainers.config import DistillConfig, DpoConfig, FitConfig, KtoConfig, MixedConfig
from leap_exp.trainers.fit import FineTuner
from leap_exp.trainers.objectives import (
    DistillationObjective,
    KtoObjective,
    Objective,
    PreferenceObjective,
    SupervisedObjective,
)
from leap_exp.trainers.teaching import Teaching


def supervised_fine_tuning(config: FitConfig) -> FineTuner:
    """Return the trainer with the settings ``trainer=sft``."""
    return FineTuner(config, [(SupervisedObjective(), 1.0)])


def direct_preference_optimisation(config: DpoConfig) -> FineTuner:
    """Return the trainer with the settings ``trainer=dpo``."""
    objective = PreferenceObjective(
        beta=config.beta,
        label_smoothing=config.label_smoothing,
        ipo=config.loss == "ipo",
        per_token=config.per_token,
    )
    return FineTuner(config, _mixed(objective, config), cloning=config.cloning.build())


def kahneman_tversky_optimisation(config: KtoConfig) -> FineTuner:
    """Return the trainer with the settings ``trainer=kto``."""
    objective = KtoObjective(
        beta=config.beta,
        desirable_weight=config.desirable_weight,
        undesirable_weight=config.undesirable_weight,
    )
    return FineTuner(config, _mixed(objective, config), cloning=config.cloning.build())


def distillation(config: DistillConfig) -> FineTuner:
    """Return the trainer with the settings ``trainer=distill``."""
    role = Role.OWN if config.on == Responses.STUDENT else Role.TAUGHT
    objective = DistillationObjective(
        roles=frozenset({role}),
        divergence=Divergence(config.divergence),
        beta=config.beta,
        top_k=config.top_k,
        clip=config.clip,
    )
    return FineTuner(
        config,
        _mixed(objective, config),
        cloning=config.cloning.build(),
        teaching=Teaching(kind=TeacherModel(config.teacher), decay=config.decay, other=config.teacher_model),
        only_admissible=config.only_admissible,
    )


def _mixed(objective: Objective, config: MixedConfig) -> list[tuple[Objective, float]]:
    mixed: list[tuple[Objective, float]] = [(objective, 1.0)]
    if config.sft_weight:
        mixed.append((SupervisedObjective(), config.sft_weight))
    return mixed
