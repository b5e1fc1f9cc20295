"""LoRA adapters: which modules of a model get one, and whether the adapter in a folder fits a model."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from peft import LoraConfig
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from leap_exp.core.errors import ConfigError
from leap_exp.students.config import AdapterConfig

_READ_PAST_ADAPTERS = frozenset({"out_proj", "conv1d"})
"""Modules of state-space layers whose weights fused kernels use directly, so that an adapter on them has no effect."""


@dataclass(frozen=True, slots=True)
class Modules:
    """What an adapter must fit.

    Attributes:
        shapes: The modules of a model by name, each with its number of outputs and of inputs if it is linear, else ().
        layers: Number of layers.
        family: Type of the model.
    """

    shapes: Mapping[str, tuple[int, ...]]
    layers: int
    family: str

    @classmethod
    def of(cls, model: PreTrainedModel) -> Self:
        """Return the modules of ``model``."""
        return cls(
            shapes={name: _shape(module) for name, module in model.named_modules()},
            layers=model.config.get_text_config().num_hidden_layers,
            family=model.config.model_type,
        )

    def linear_in_layers(self) -> list[str]:
        """Return the names of the linear modules within layers, without where they are."""
        paths = [name.split(".") for name, shape in self.shapes.items() if shape]
        names = {path[-1] for path in paths if any(part.isdigit() for part in path)}
        if any(name.endswith(".conv1d") for name in self.shapes):
            names -= _READ_PAST_ADAPTERS
        return sorted(names)


def lora_config(lora: AdapterConfig, modules: Modules) -> LoraConfig:
    """Return the configuration of a new adapter.

    Raises:
        ConfigError: ``student.lora.top_layers`` exceeds the number of layers, or the model has no linear modules.
    """
    names, layers, top = modules.linear_in_layers(), modules.layers, lora.top_layers
    if top is not None and top > layers:
        raise ConfigError(
            f"student.lora.top_layers={top} exceeds the {layers} layers of the model; lower it, or set it to null for "
            "all layers."
        )
    if not names:
        raise ConfigError(
            f"A model of the family {modules.family} has no linear modules in its layers that a LoRA adapter could "
            "change; choose another student.model."
        )
    return LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=names,
        layers_to_transform=None if top is None else list(range(layers - top, layers)),
        task_type="CAUSAL_LM",
    )


def adapter_rank(folder: Path) -> int:
    """Return the maximum rank of the LoRA adapter in ``folder``, which ``check_adapter`` accepts."""
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    return max(int(rank) for rank in (config["r"], *(config.get("rank_pattern") or {}).values()))


def check_adapter(folder: Path, modules: Modules, *, model: str) -> None:
    """Check that ``folder`` has a LoRA adapter, and that it fits the model named ``model``.

    Raises:
        ConfigError: It has none, or one that does not fit.
    """
    try:
        kind = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))["peft_type"]
        tensors = _tensor_shapes(folder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise ConfigError(f"{folder} is not a folder with a LoRA adapter that can be read ({error}).") from error
    if kind != "LORA":
        raise ConfigError(f"{folder} has an adapter of the kind {kind}, but only LORA adapters can be used.")
    if not any(".lora_" in name for name in tensors):
        raise ConfigError(f"The adapter in {folder} has no weights; give another one.")
    for name, shape in tensors.items():
        path, _, part = name.removeprefix("base_model.model.").partition(".lora_")
        # PEFT wraps modules with several parameters, such as experts, once for each.
        module = path.replace(".base_layer", "")
        if not part:
            # A module that was trained as a whole and is saved beside the adapter, such as embeddings for new tokens.
            module = module.rpartition(".")[0]
        size = modules.shapes.get(module)
        if size is None:
            problem = f"it changes {module}, which the model does not have"
        elif size and part == "A.weight" and shape[1] != size[1]:
            problem = f"it expects {shape[1]} inputs of {module}, which has {size[1]}"
        elif size and part == "B.weight" and shape[0] != size[0]:
            problem = f"it expects {shape[0]} outputs of {module}, which has {size[0]}"
        else:
            continue
        raise ConfigError(
            f"The adapter in {folder} does not fit student.model={model}: {problem}. Give the model that it was "
            "trained on, or another adapter."
        )


def _shape(module: torch.nn.Module) -> tuple[int, ...]:
    if isinstance(module, Conv1D):
        return tuple(reversed(module.weight.shape))
    return tuple(module.weight.shape) if isinstance(module, torch.nn.Linear) else ()


def _tensor_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of an adapter's tensors by name, from the header of its file.

    Raises:
        ValueError: The file is damaged.
    """
    file = folder / "adapter_model.safetensors"
    if not file.is_file():
        loaded = torch.load(folder / "adapter_model.bin", map_location="meta", weights_only=True)
        return {name: tuple(tensor.shape) for name, tensor in loaded.items()}
    with file.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        if size > file.stat().st_size:
            raise ValueError(f"{file.name} is damaged")
        entries = json.loads(stream.read(size))
    entries.pop("__metadata__", None)
    if file.stat().st_size != 8 + size + max((entry["data_offsets"][1] for entry in entries.values()), default=0):
        raise ValueError(f"{file.name} is damaged")
    return {name: tuple(entry["shape"]) for name, entry in entries.items()}
