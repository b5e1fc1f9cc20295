"""Schemas of the group ``student``."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

from leap_exp.config.endpoints import EndpointConfig
from leap_exp.config.schema import require_at_least, require_choice, require_share, setting, settings
from leap_exp.core.errors import ConfigError
from leap_exp.core.protocols import Environment, Policy

if TYPE_CHECKING:
    import torch

    from leap_exp.students.hf import HfStudent

FREE_STUDENT_SETTINGS = ("student.serve", "student.memory_share")
"""Settings that do not change what a student does, so that a run may go on with others."""


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
class PromptedStudentConfig(StudentConfig):
    """What every student that reads prompts can be set to."""

    reasons: bool = setting(True, "Whether it writes a reason before the action.")
    list_actions: bool = setting(True, "Whether the prompt lists the admissible actions.")
    condense: bool = setting(False, "Whether the prompt leaves out what observations only repeat of the actions.")
    remind: bool = setting(False, "Whether the prompt repeats the task under every observation.")


@dataclass
class ApiStudentConfig(PromptedStudentConfig):
    """A model behind an OpenAI-compatible server; for evaluation (rounds=0)."""

    endpoint: EndpointConfig = settings(EndpointConfig, "The model and its server.")
    context_length: int = setting(
        32_768, "Tokens of prompt and answer, at four characters each; longer histories lose their oldest turns."
    )

    def __post_init__(self) -> None:
        """Refuse a length that leaves nothing to read."""
        require_at_least("student.context_length", self.context_length, 2 * self.endpoint.max_tokens)

    def build(self, environment: Environment) -> Policy:
        """The student."""
        from leap_exp.prompts.markup import MESSAGES_MARKUP
        from leap_exp.prompts.render import Renderer
        from leap_exp.students.api import ApiStudent

        renderer = Renderer(
            environment=environment.name,
            markup=MESSAGES_MARKUP,
            reasons=self.reasons,
            list_actions=self.list_actions,
            condense=self.condense,
            remind=self.remind,
        )
        return ApiStudent(self.endpoint.build("student.endpoint"), renderer, context_length=self.context_length)

    def provenance(self) -> Mapping[str, object]:
        """The model's name and its server."""
        return {"model": self.endpoint.model, "server": self.endpoint.base_url}


@dataclass
class HfStudentConfig(PromptedStudentConfig):
    """A Hugging Face language model with a LoRA adapter."""

    trainable: ClassVar[bool] = True

    model: str = setting("???", "Hub id, folder with weights, smollm2_135m, or tiny (random weights).")
    adapter: str | None = setting(
        None, "Folder of a LoRA adapter to begin with, such as round_003/student of a run; null for none."
    )
    format: str = setting("chat", "Prompt form: chat (the tokenizer's template) or plain.")
    decoding: str = setting("free", "free, or admissible (restricted to the actions that the environment admits).")
    avoid_repeats: bool = setting(
        False, "With admissible decoding: no loops of one action on one observation, while there is another action."
    )
    context_length: int = setting(4096, "Tokens of prompt and response; longer histories lose their oldest turns.")
    max_new_tokens: int = setting(128, "Tokens that a response may have.")
    dtype: str = setting("auto", "float32, bfloat16, or auto (bfloat16 where the processor computes in it).")
    device: str = setting("auto", "cpu, cuda, or auto (cuda where there is one).")
    lora: LoraConfig = settings(LoraConfig, "The adapter.")

    def __post_init__(self) -> None:
        """Refuse unknown forms, lengths that leave nothing to write, and an adapter that is not there."""
        require_choice("student.format", self.format, ("chat", "plain"))
        require_choice("student.decoding", self.decoding, ("free", "admissible"))
        require_choice("student.dtype", self.dtype, ("auto", "float32", "bfloat16"))
        require_at_least("student.max_new_tokens", self.max_new_tokens, 1)
        require_at_least("student.context_length", self.context_length, 2 * self.max_new_tokens)
        if self.adapter is not None and not (Path(self.adapter) / "adapter_config.json").is_file():
            raise ConfigError(f"student.adapter={self.adapter} is not a folder with a LoRA adapter.")

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
        adapter = Path(self.adapter) if self.adapter else None
        student = HfStudent(settings, policy_id=Path(self.model).name, adapter=adapter)
        _ = student.tokenizer  # A model that cannot be had is found out before anything is done.
        return student

    def provenance(self) -> Mapping[str, object]:
        """The hash of the base weights, and what computes with them."""
        import torch

        from leap_exp.students.weights import resolve_weights, weights_digest

        return {
            "model": self.model,
            "weights_sha256": weights_digest(resolve_weights(self.model)),
            "adapter_sha256": weights_digest(self.adapter) if self.adapter else None,
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


@dataclass
class VllmStudentConfig(HfStudentConfig):
    """A Hugging Face language model that is trained with a LoRA adapter as ever and acts through a vLLM server."""

    endpoint: EndpointConfig = settings(EndpointConfig, "The server; its model is the name of the base model there.")
    serve: bool = setting(True, "Whether `vllm serve` is started here if no server answers at the address.")
    memory_share: float = setting(0.45, "Share of the accelerator's memory that a server started here takes.")

    def __post_init__(self) -> None:
        """Refuse what the server cannot do."""
        super().__post_init__()
        require_share("student.memory_share", self.memory_share)
        if self.decoding != "free":
            raise ConfigError(
                f"student.decoding={self.decoding} is not possible with student=vllm, whose server would write actions "
                "in other tokens than those that training counts; take student.decoding=free."
            )

    def build(self, environment: Environment) -> Policy:
        """The student before any training."""
        from leap_exp.students.vllm import VllmStudent
        from leap_exp.students.vllm_server import VllmServer, serve_command
        from leap_exp.students.weights import resolve_weights

        trained = cast("HfStudent", super().build(environment))
        client = self.endpoint.build("student.endpoint")
        command = serve_command(
            resolve_weights(self.model),
            client.endpoint,
            dtype=str(trained.settings.dtype).removeprefix("torch."),
            rank=self.lora.r,
            context_length=self.context_length,
            memory_share=self.memory_share,
        )
        server = VllmServer(client.endpoint, command=command, may_start=self.serve)
        server.require()
        return VllmStudent(trained, client, server, adapter=Path(self.adapter) if self.adapter else None)
