"""Schemas of the group ``trainer``."""

from dataclasses import dataclass

from leap_exp.config.schema import require_at_least, require_choice, require_share, setting
from leap_exp.core.protocols import Trainer

_SCHEDULES = ("cosine", "linear", "constant_with_warmup")


@dataclass
class TrainerConfig:
    """What every trainer can be set to."""

    def build(self) -> Trainer:
        """The trainer."""
        raise NotImplementedError


@dataclass
class SftConfig(TrainerConfig):
    """Supervised fine-tuning on the teacher's responses. The defaults are the paper's where it gives them."""

    epochs: float = setting(3.0, "Passes over the training set in each round.")
    learning_rate: float = setting(3e-5, "Highest learning rate.")
    batch_size: int = setting(1, "Trajectories computed at once.")
    gradient_accumulation: int = setting(8, "Batches a step of the optimiser.")
    validation_share: float = setting(0.15, "Share of tasks kept for validation, in every round the same.")
    warmup_steps: int = setting(10, "Steps over which the learning rate rises.")
    max_grad_norm: float = setting(0.3, "Gradients are clipped to this norm.")
    schedule: str = setting("cosine", "How it falls after the warm-up: cosine, linear or constant_with_warmup.")
    weight_decay: float = setting(0.0, "Weight decay of AdamW.")
    mistakes: int | None = setting(
        None, "Trajectories are trained on up to this many corrected steps, and no further; null for all their steps."
    )

    def __post_init__(self) -> None:
        """Refuse numbers that train nothing."""
        if self.epochs <= 0:
            require_at_least("trainer.epochs", self.epochs, 1)
        require_at_least("trainer.learning_rate", self.learning_rate, 0)
        require_at_least("trainer.batch_size", self.batch_size, 1)
        require_at_least("trainer.gradient_accumulation", self.gradient_accumulation, 1)
        require_share("trainer.validation_share", self.validation_share)
        if self.mistakes is not None:
            require_at_least("trainer.mistakes", self.mistakes, 1)
        require_choice("trainer.schedule", self.schedule, _SCHEDULES)

    def build(self) -> Trainer:
        """The trainer."""
        from leap_exp.train.sft import SftSettings, SftTrainer

        return SftTrainer(
            SftSettings(
                epochs=self.epochs,
                learning_rate=self.learning_rate,
                batch_size=self.batch_size,
                gradient_accumulation=self.gradient_accumulation,
                validation_share=self.validation_share,
                warmup_steps=self.warmup_steps,
                max_grad_norm=self.max_grad_norm,
                schedule=self.schedule,
                weight_decay=self.weight_decay,
                mistakes=self.mistakes,
            )
        )
