"""Settings of trainers."""

from dataclasses import dataclass
from typing import ClassVar

from leap_exp.core.components import TrainerConfig
from leap_exp.core.settings import setting


@dataclass
class SftConfig(TrainerConfig):
    """Supervised fine-tuning on the teacher's responses. The defaults are the paper's where it gives them."""

    builds: ClassVar[str] = "leap_exp.trainers.fit:supervised_fine_tuning"

    epochs: float = setting(3.0, "Passes over the training set per round.", above=0)
    learning_rate: float = setting(3e-5, "Highest learning rate.", minimum=0)
    batch_size: int = setting(1, "Trajectories per batch.", minimum=1)
    gradient_accumulation: int = setting(8, "Batches per optimizer step.", minimum=1)
    warmup_steps: int = setting(10, "Steps over which the learning rate rises.")
    max_grad_norm: float = setting(0.3, "Maximum norm of gradients.")
    schedule: str = setting(
        "cosine",
        "Learning rate after the warm-up.",
        choices=("cosine", "linear", "constant_with_warmup"),
    )
    weight_decay: float = setting(0.0, "Weight decay of AdamW.")
    max_changed_steps: int | None = setting(
        None, "Train on each trajectory up to this many steps that the teacher changed; null for all steps.", minimum=1
    )
