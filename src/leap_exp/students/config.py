"""Settings of students."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from leap_exp.core.components import StudentConfig
from leap_exp.core.environments import Environment
from leap_exp.core.errors import ConfigError
from leap_exp.core.protocols import Policy
from leap_exp.core.settings import MISSING, Settings, setting, settings
from leap_exp.llm.endpoint import Endpoint
from leap_exp.students.scripted import ExpertPolicy, RandomPolicy
from leap_exp.tokens.renderer import PromptConfig

RESUMABLE_SETTINGS = ("student.serve", "student.memory_share")
"""Settings that do not change what a student does, so a run may be resumed with other values."""
_VLLM_MAX_TEMPERATURE = 2
"""Above this, vLLM refuses a request."""


@dataclass
class ExpertConfig(StudentConfig):
    """The environment's scripted expert, acting on the history alone; for evaluation (rounds=0)."""

    def build(self, environment: Environment) -> Policy:
        """Return the expert."""
        return ExpertPolicy(environment)


@dataclass
class RandomConfig(StudentConfig):
    """Random admissible actions; for evaluation (rounds=0)."""

    varies = True

    def build(self, environment: Environment) -> Policy:  # noqa: ARG002 - it is the same in every environment
        """Return the random policy."""
        return RandomPolicy()


@dataclass
class ApiStudentConfig(StudentConfig, PromptConfig):
    """A model behind an OpenAI-compatible server; for evaluation (rounds=0)."""

    builds: ClassVar[str] = "leap_exp.students.api:ApiStudent"

    endpoint: Endpoint = settings(Endpoint, "The model and its server.")
    context_length: int = setting(
        32_768, "Maximum tokens of prompt and answer, at four characters each; longer histories lose old turns."
    )

    def check_together(self) -> None:
        """Check that there is room for a prompt, and the form of answers."""
        self.check_answer(is_free=True)
        if self.context_length < 2 * self.endpoint.max_tokens:
            raise ConfigError(
                f"student.context_length={self.context_length} is not valid: it must be at least "
                f"{2 * self.endpoint.max_tokens}, twice student.endpoint.max_tokens."
            )

    @property
    def varies(self) -> bool:
        """Whether the server may answer in another way to another seed."""
        return self.endpoint.temperature != 0

    def provenance(self) -> Mapping[str, object]:
        """Return the model's name and its server."""
        return {"model": self.endpoint.model, "server": self.endpoint.base_url}


@dataclass
class AdapterConfig(Settings):
    """The LoRA adapter that is trained. The defaults are the paper's."""

    place: ClassVar[str] = "student.lora"

    r: int = setting(128, "Rank.", minimum=1)
    alpha: int = setting(64, "Scale: updates are multiplied by alpha / r.")
    dropout: float = setting(0.05, "Dropout on the adapter's input during training.", minimum=0, maximum=1)
    top_layers: int | None = setting(
        None, "Number of layers with an adapter, counted from the head; null for all.", minimum=1
    )


@dataclass
class HfStudentConfig(StudentConfig, PromptConfig):
    """A Hugging Face language model with a LoRA adapter."""

    builds: ClassVar[str] = "leap_exp.students.hf:HfStudent"
    trainable: ClassVar[bool] = True

    model: str = setting(MISSING, "Hub id, folder with weights, smollm2_135m, or tiny (random weights).")
    adapter: str | None = setting(
        None, "Folder of a LoRA adapter to start from, such as round_003/student of a run; null for none."
    )
    format: str = setting(
        "chat", "Form of prompts: chat (the tokenizer's template) or plain.", choices=("chat", "plain")
    )
    decoding: str = setting(
        "free", "free text, or admissible (one of the admissible actions).", choices=("free", "admissible")
    )
    thinking: bool | None = setting(
        None,
        "Whether the model thinks before it answers, by its chat template's switch; null for the template's default. "
        "Thoughts are neither kept in the history nor trained on.",
    )
    max_thinking_tokens: int = setting(
        1024, "With thinking=true, maximum tokens of thoughts, besides those of the response.", minimum=1
    )
    temperature: float = setting(0.0, "Sampling temperature; 0 takes the likeliest token.", minimum=0)
    top_p: float = setting(
        1.0, "Tokens are drawn among the likeliest that have together this probability.", above=0, maximum=1
    )
    top_k: int | None = setting(None, "Tokens are drawn among this many of the likeliest; null for all.", minimum=1)
    avoid_repeats: bool = setting(
        False, "With admissible decoding: no loops of one action on one observation while there is an alternative."
    )
    context_length: int = setting(4096, "Maximum tokens of prompt and response; longer histories lose old turns.")
    max_new_tokens: int = setting(128, "Maximum tokens of a response.", minimum=1)
    dtype: str = setting(
        "auto",
        "float32, bfloat16, or auto (bfloat16 where the hardware supports it).",
        choices=("auto", "float32", "bfloat16"),
    )
    device: str = setting("auto", "cpu, cuda, or auto (cuda if available).")
    quantization: str | None = setting(
        None,
        "Base weights in 4 bits (nf4) or 8 bits (int8), with bitsandbytes; null for the numbers of dtype.",
        choices=("nf4", "int8"),
    )
    lora: AdapterConfig = settings(AdapterConfig, "The adapter.")

    def check_together(self) -> None:
        """Check that there is room for a prompt, that thinking is possible, and that the adapter exists."""
        self.check_answer(is_free=self.decoding == "free")
        if self.thinking and self.format != "chat":
            raise ConfigError(
                f"student.thinking=true does not work with student.format={self.format}; set student.format=chat."
            )
        if self.context_length < self.thinking_room + 2 * self.max_new_tokens:
            thoughts = f" and student.max_thinking_tokens={self.thinking_room} besides" if self.thinking else ""
            raise ConfigError(
                f"student.context_length={self.context_length} is not valid: it must be at least "
                f"{self.thinking_room + 2 * self.max_new_tokens}, twice student.max_new_tokens{thoughts}."
            )
        if self.adapter is not None and not (Path(self.adapter) / "adapter_config.json").is_file():
            raise ConfigError(f"student.adapter={self.adapter} is not a folder with a LoRA adapter.")

    @property
    def thinking_room(self) -> int:
        """The tokens that thoughts may have."""
        return self.max_thinking_tokens if self.thinking else 0

    @property
    def varies(self) -> bool:
        """Whether tokens are drawn."""
        return self.temperature > 0

    def provenance(self) -> Mapping[str, object]:
        """Return hashes of the weights, and the accelerators."""
        import torch

        from leap_exp.students.weights import resolve_weights, weights_digest

        return {
            "model": self.model,
            "weights_sha256": weights_digest(resolve_weights(self.model)),
            "adapter_sha256": weights_digest(self.adapter) if self.adapter else None,
            "accelerators": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        }


@dataclass
class VllmStudentConfig(HfStudentConfig):
    """A Hugging Face language model that is trained in this process and acts through a vLLM server."""

    builds: ClassVar[str] = "leap_exp.students.hf:vllm_student"

    endpoint: Endpoint = settings(Endpoint, "The server; endpoint.model is the name of the base model there.")
    serve: bool = setting(True, "Whether to start `vllm serve` if no server answers at the address.")
    memory_share: float = setting(
        0.45, "Share of the accelerator's memory for a server started here.", minimum=0, maximum=1
    )
    serve_args: list[str] | None = setting(
        None, "More options for `vllm serve`, such as [--tensor-parallel-size,2]; they override those of leap_exp."
    )

    def check_together(self) -> None:
        """Check that the endpoint leaves the temperature to the student's settings, and that vLLM takes those."""
        super().check_together()
        if self.temperature > _VLLM_MAX_TEMPERATURE:
            raise ConfigError(
                f"student.temperature={self.temperature} is more than vLLM takes: at most {_VLLM_MAX_TEMPERATURE}."
            )
        if self.endpoint.temperature != 0:
            raise ConfigError(
                f"student.endpoint.temperature={self.endpoint.temperature} has no effect on this student; set "
                "student.temperature."
            )
        if self.quantization == "int8":
            raise ConfigError("student.quantization=int8 is not among vLLM's; set nf4, or another student.")

    def provenance(self) -> Mapping[str, object]:
        """Return hashes of the weights, the accelerators, and the server with its version of vLLM."""
        from leap_exp.students.serving import vllm_version

        return {**super().provenance(), "server": self.endpoint.base_url, "vllm": vllm_version(self.endpoint)}
