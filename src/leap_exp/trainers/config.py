"""Settings of trainers."""

from dataclasses import dataclass
from typing import Any, ClassVar, cast

from leap_exp.core.components import TrainerConfig
from leap_exp.core.errors import ConfigError
from leap_exp.core.protocols import Trainer
from leap_exp.core.settings import MISSING, setting, settings
from leap_exp.trainers.choices import Divergence, Responses, Steps, TeacherModel


@dataclass
class FitConfig(TrainerConfig):
    """How long and how fast to train. The defaults are the paper's where it gives them."""

    epochs: float = setting(3.0, "Passes over the training set per round; not used with max_tokens.", above=0)
    max_tokens: int | None = setting(
        None, "Stop at the optimizer step with which this many tokens were read; null for no limit.", minimum=1
    )
    max_seconds: float | None = setting(
        None, "Stop at the first optimizer step that ends later than this; null for no limit.", above=0
    )
    learning_rate: float = setting(3e-5, "Highest learning rate.", minimum=0)
    batch_size: int = setting(1, "Trajectories per batch.", minimum=1)
    gradient_accumulation: int = setting(8, "Batches per optimizer step.", minimum=1)
    tokens_per_batch: int | None = setting(
        None,
        "Pack the batch_size * gradient_accumulation trajectories of an optimizer step into batches of this many "
        "tokens; null for what a GPU's memory holds, and for no packing on a processor.",
        minimum=1,
    )
    warmup_steps: int = setting(10, "Steps over which the learning rate rises.")
    max_grad_norm: float = setting(0.3, "Maximum norm of gradients.")
    schedule: str = setting(
        "cosine",
        "Learning rate after the warm-up.",
        choices=("cosine", "linear", "constant_with_warmup"),
    )
    weight_decay: float = setting(0.0, "Weight decay of AdamW.")
    steps: str = setting(
        "all", "Steps to learn from: all, or changed (those that the teacher changed).", choices=tuple(Steps)
    )
    max_changed_steps: int | None = setting(
        None, "Train on each trajectory up to this many steps that the teacher changed; null for all steps.", minimum=1
    )
    checkpoint_steps: int | None = setting(
        None, "Optimizer steps between checkpoints from which a stopped training goes on; null for none.", minimum=1
    )
    checkpoint_minutes: float | None = setting(None, "Minutes between such checkpoints; null for none.", above=0)


@dataclass
class SftConfig(FitConfig):
    """Supervised fine-tuning on the teacher's responses. The defaults are the paper's where it gives them."""

    builds: ClassVar[str] = "leap_exp.trainers.build:supervised_fine_tuning"


@dataclass
class MixedConfig(FitConfig):
    """Training that needs steps at which the teacher decided otherwise than the student, or knew more."""

    cloning: SftConfig = settings(SftConfig, "Supervised fine-tuning of round 0, where there are only demonstrations.")
    sft_weight: float = setting(0.0, "Weight of the supervised loss that is added.", minimum=0)

    def check_together(self) -> None:
        """Give cloning the share of tasks for validation."""
        self.cloning.validation_share = self.validation_share


@dataclass
class PreferenceConfig(MixedConfig):
    """Training that compares the teacher's decisions with those of the student that they replace."""

    learning_rate: float = setting(5e-7, "Highest learning rate.", minimum=0)
    steps: str = setting(
        "changed",
        "changed, or all: steps that the teacher kept count too (with dpo, in the supervised loss only).",
        choices=tuple(Steps),
    )


@dataclass
class DpoConfig(PreferenceConfig):
    """Direct preference optimisation: the teacher's response is preferred to the student's own at the same history."""

    builds: ClassVar[str] = "leap_exp.trainers.build:direct_preference_optimisation"

    beta: float = setting(0.01, "How strongly the student is held to what it was when training began.", above=0)
    label_smoothing: float = setting(0.0, "Assumed share of pairs in the wrong order.", minimum=0, maximum=0.5)
    loss: str = setting("sigmoid", "sigmoid (DPO), or ipo (squared, on means over tokens).", choices=("sigmoid", "ipo"))
    per_token: bool = setting(False, "With loss=sigmoid: divide log-ratios by the number of scored tokens.")

    def check_together(self) -> None:
        """Check that smoothing is used with the loss that has it."""
        super().check_together()
        if self.loss == "ipo" and (self.label_smoothing or self.per_token):
            raise ConfigError("trainer.loss=ipo takes neither trainer.label_smoothing nor trainer.per_token.")


@dataclass
class KtoConfig(PreferenceConfig):
    """Kahneman-Tversky optimisation: corrected decisions are desirable, those that they replace are not."""

    builds: ClassVar[str] = "leap_exp.trainers.build:kahneman_tversky_optimisation"

    beta: float = setting(0.1, "How strongly the student is held to what it was when training began.", above=0)
    desirable_weight: float = setting(1.0, "Weight of desirable decisions.", minimum=0)
    undesirable_weight: float = setting(1.0, "Weight of undesirable decisions.", minimum=0)


@dataclass
class DistillConfig(MixedConfig):
    """Distillation: the student's distribution at each token approaches that of a teacher that reads the briefing."""

    builds: ClassVar[str] = "leap_exp.trainers.build:distillation"

    teacher: str = setting(
        "start",
        "Teacher model: current (the weights being trained), start (those that training starts from), round0, ema (a "
        "moving average over the rounds), or other (teacher_model).",
        choices=tuple(TeacherModel),
    )
    decay: float = setting(
        0.5,
        "With teacher=ema: the weight of the previous average when a round's student is added.",
        minimum=0,
        maximum=1,
    )
    teacher_model: str | None = setting(
        None, "With teacher=other: a model of the same vocabulary, as in student.model."
    )
    on: str = setting(
        "student",
        "Whose responses are distilled on: student (its own) or teacher (those in the correction).",
        choices=tuple(Responses),
    )
    divergence: str = setting(
        "reverse",
        "forward, KL(teacher || student); reverse, KL(student || teacher); or jsd, in between.",
        choices=tuple(Divergence),
    )
    beta: float = setting(
        0.5, "With divergence=jsd: the teacher's share of the mixture, between 0 and 1.", minimum=0.01, maximum=0.99
    )
    top_k: int | None = setting(
        None, "Compare the teacher's likeliest tokens, and the others as one; null for all tokens.", minimum=1
    )
    clip: float | None = setting(None, "Highest divergence (nats) that counts at a token; null for no limit.", above=0)
    only_admissible: bool = setting(
        False, "With on=student: leave out steps at which the student's action was not admissible."
    )

    def check_together(self) -> None:
        """Check that another model is given exactly if it teaches."""
        super().check_together()
        if (self.teacher_model is None) == (self.teacher == TeacherModel.OTHER):
            raise ConfigError(
                f"trainer.teacher={self.teacher} does not go with trainer.teacher_model={self.teacher_model}; set "
                "trainer.teacher=other and the model, or neither."
            )


@dataclass
class StagesConfig(TrainerConfig):
    """Several trainers one after the other in each round, each from the student of the one before."""

    stages: dict[str, TrainerConfig] = setting(cast(Any, MISSING), "The trainers, by any names, in their order.")
    cloning: SftConfig = settings(SftConfig, "Supervised fine-tuning of round 0, where there are only demonstrations.")
    max_tokens: int | None = setting(
        None, "Tokens of all stages together, in equal parts; null for those of each stage.", minimum=1
    )

    def check_together(self) -> None:
        """Give all stages the share of tasks for validation, and their parts of the tokens."""
        for stage in (*self.stages.values(), self.cloning):
            stage.validation_share = self.validation_share
        for stage in self.stages.values():
            if self.max_tokens is not None and isinstance(stage, FitConfig):
                stage.max_tokens = self.max_tokens // len(self.stages)

    def build(self) -> Trainer:
        """Return the trainer."""
        from leap_exp.trainers.stages import StagedTrainer  # Importing torch takes long.

        return StagedTrainer({name: stage.build() for name, stage in self.stages.items()}, cloning=self.cloning.build())
