"""Schemas of the group ``student``."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from leap_exp.config.schema import require_at_least, require_choice, require_share, setting, settings
from leap_exp.core.protocols import Environment, Policy

if TYPE_CHECKING:
    import torch


@dataclass
class StudentConfig:
    """What every student can be set to."""

    trainable: ClassVar[bool] = False

    def build(self, environment: Environment) -> Policy:
        """The student, for tasks of ``environment``."""
        raise NotImplementedError

    def provenance(self) -> Mapping[str, object]:
        """What it is made from, so that it can be told from others of the same name."""
        return {}


@dataclass
class ExpertConfig(StudentConfig):
    """The environment's scripted expert, acting on the history alone; for evaluation (rounds=0)."""

    def build(self, environment: Environment) -> Policy:
        """The expert."""
        from leap_exp.students.scripted import ExpertPolicy

        return ExpertPolicy(environment)


@dataclass
class RandomConfig(StudentConfig):
    """Admissible actions at random; for evaluation (rounds=0)."""

    def build(self, environment: Environment) -> Policy:  # noqa: ARG002 - it knows nothing of its environment
        """The random policy."""
        from leap_exp.students.scripted import RandomPolicy

        return RandomPolicy()


@dataclass
class LoraConfig:
    """The adapter that training changes. The defaults are the paper's."""

    r: int = setting(128, "Rank.")
    alpha: int = setting(64, "Scale: the update is multiplied by alpha / r.")
    dropout: float = setting(0.05, "Dropout on the adapter's input while training.")
    top_layers: int | None = setting(None, "How many layers, counted from the head, carry it; null for all.")

    def __post_init__(self) -> None:
        """Refuse an adapter that cannot be made."""
        require_at_least("student.lora.r", self.r, 1)
        require_share("student.lora.dropout", self.dropout)


@dataclass
class HfStudentConfig(StudentConfig):
    """A Hugging Face language model with a LoRA adapter."""

    trainable: ClassVar[bool] = True

    model: str = setting("???", "Hub id, folder with weights, smollm2_135m, or tiny (random weights).")
    format: str = setting("chat", "Prompt form: chat (the tokenizer's template) or plain.")
    decoding: str = setting("free", "free, or admissible (restricted to the actions that the environment admits).")
    avoid_repeats: bool = setting(
        False, "With admissible decoding: no loops of one action on one observation, while there is another action."
    )
    reasons: bool = setting(True, "Whether it writes a reason before the action.")
    list_actions: bool = setting(True, "Whether the prompt lists the admissible actions.")
    condense: bool = setting(False, "Whether the prompt leaves out what observations only repeat of the actions.")
    remind: bool = setting(False, "Whether the prompt repeats the task under every observation.")
    context_length: int = setting(4096, "Tokens of prompt and response; longer histories lose their oldest turns.")
    max_new_tokens: int = setting(128, "Tokens that a response may have.")
    dtype: str = setting("auto", "float32, bfloat16, or auto (bfloat16 where the processor computes in it).")
    device: str = setting("auto", "cpu, cuda, or auto (cuda where there is one).")
    lora: LoraConfig = settings(LoraConfig, "The adapter.")

    def __post_init__(self) -> None:
        """Refuse unknown forms and lengths that leave nothing to write."""
        require_choice("student.format", self.format, ("chat", "plain"))
        require_choice("student.decoding", self.decoding, ("free", "admissible"))
        require_choice("student.dtype", self.dtype, ("auto", "float32", "bfloat16"))
        require_at_least("student.max_new_tokens", self.max_new_tokens, 1)
        require_at_least("student.context_length", self.context_length, 2 * self.max_new_tokens)

    def build(self, environment: Environment) -> Policy:
        """The student before any training."""
        import torch

        from leap_exp.students.hf import HfSettings, HfStudent, LoraSettings

        device = self.device if self.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        settings = HfSettings(
            model=self.model,
            environment=environment.name,
            format="plain" if self.format == "plain" else "chat",
            decoding="free" if self.decoding == "free" else "admissible",
            revisits=environment.revisits if self.avoid_repeats else None,
            reasons=self.reasons,
            list_actions=self.list_actions,
            condense=self.condense,
            remind=self.remind,
            context_length=self.context_length,
            max_new_tokens=self.max_new_tokens,
            dtype=self._dtype(device),
            device=device,
            lora=LoraSettings(
                r=self.lora.r, alpha=self.lora.alpha, dropout=self.lora.dropout, top_layers=self.lora.top_layers
            ),
        )
        student = HfStudent(settings, policy_id=Path(self.model).name)
        _ = student.tokenizer  # A model that cannot be had is found out before anything is done.
        return student

    def provenance(self) -> Mapping[str, object]:
        """The hash of the base weights, and what computes with them."""
        import torch

        from leap_exp.students.weights import resolve_weights, weights_digest

        return {
            "model": self.model,
            "weights_sha256": weights_digest(resolve_weights(self.model)),
            "accelerators": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        }

    def _dtype(self, device: str) -> "torch.dtype":
        import torch

        if self.dtype != "auto":
            return torch.bfloat16 if self.dtype == "bfloat16" else torch.float32
        if device.startswith("cuda"):
            return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
        # Without the instructions, bfloat16 is emulated and slower than float32.
        return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32
