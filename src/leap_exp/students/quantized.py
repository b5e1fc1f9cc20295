"""Base weights in 4 or 8 bits, with bitsandbytes (Dettmers et al. 2022, 2023): loaded, prepared and adapted."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from peft import PeftModel, prepare_model_for_kbit_training
from peft.tuners.lora import LoraLayer
from transformers import PreTrainedModel

from leap_exp.core.errors import ConfigError

if TYPE_CHECKING:
    from transformers import BitsAndBytesConfig

LIBRARY = "bitsandbytes"
NF4, INT8 = "nf4", "int8"


def check_quantization(quantization: str, *, model: str, device: str) -> None:
    """Check that this machine can quantise ``model``.

    Raises:
        ConfigError: The library is missing, or cannot be used with the device or the model.
    """
    setting = f"student.quantization={quantization}"
    if find_spec(LIBRARY) is None:
        raise ConfigError(f"{setting} needs the package {LIBRARY}: pip install 'leap-exp[quantization]'.")
    if torch.device(device).type not in ("cpu", "cuda"):
        raise ConfigError(f"{setting} does not work with student.device={device}; set student.device=cuda or cpu.")
    if model == "tiny":
        raise ConfigError(f"{setting} needs weights in files, which student.model=tiny has not; choose another model.")


def quantization_config(quantization: str, *, dtype: torch.dtype) -> "BitsAndBytesConfig":
    """Return what ``from_pretrained`` takes: NF4 with double quantisation as in QLoRA, or LLM.int8()."""
    from transformers import BitsAndBytesConfig

    if quantization == INT8:
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=NF4,
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def prepared(model: PreTrainedModel) -> PreTrainedModel:
    """Return a quantised ``model`` ready for an adapter to be trained: frozen, with its other weights in float32."""
    ready: PreTrainedModel = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    return ready


def adapted(model: PreTrainedModel, adapters: tuple[tuple[Path, float], ...]) -> PreTrainedModel:
    """Return a quantised ``model`` with the sum of ``adapters`` beside its weights, each at its weight.

    They are not merged, because the sum would be rounded to 4 or 8 bits again, and act otherwise than it was trained.
    """
    if not adapters:
        return model
    names = [f"adapter_{number}" for number in range(len(adapters))]
    combined = PeftModel.from_pretrained(model, str(adapters[0][0]), adapter_name=names[0])
    for name, (folder, _) in list(zip(names, adapters, strict=True))[1:]:
        combined.load_adapter(str(folder), adapter_name=name)
    combined.base_model.set_adapter(names)
    for module in combined.modules():
        if isinstance(module, LoraLayer):
            for name, (_, weight) in zip(names, adapters, strict=True):
                if name in module.scaling:
                    module.scaling[name] *= weight
    base: PreTrainedModel = combined.get_base_model()
    return base.eval().requires_grad_(False)
