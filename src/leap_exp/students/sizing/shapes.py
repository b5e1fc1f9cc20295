"""Shapes of models: from a table, or from a configuration that is on this machine. Nothing is downloaded."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leap_exp.core.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """The shape of a decoder with grouped-query attention and a gated feed-forward layer, such as Llama and Qwen3.

    Attributes:
        layers: Number of layers.
        hidden: Width of the residual stream, D.
        inner: Width of the feed-forward layer, F.
        heads: Query heads.
        kv_heads: Key and value heads.
        head: Width of a head.
        vocabulary: Number of tokens, V.
        tied: Whether the output embedding is the input embedding.
        normed_heads: Whether queries and keys are normalised, as in Qwen3.
    """

    layers: int
    hidden: int
    inner: int
    heads: int
    kv_heads: int
    head: int
    vocabulary: int
    tied: bool
    normed_heads: bool = False

    @property
    def linear(self) -> dict[str, tuple[int, int]]:
        """Inputs and outputs of the linear modules of a layer."""
        queries, keys = self.heads * self.head, self.kv_heads * self.head
        return {
            "q_proj": (self.hidden, queries),
            "k_proj": (self.hidden, keys),
            "v_proj": (self.hidden, keys),
            "o_proj": (queries, self.hidden),
            "gate_proj": (self.hidden, self.inner),
            "up_proj": (self.hidden, self.inner),
            "down_proj": (self.inner, self.hidden),
        }

    @property
    def linear_parameters(self) -> int:
        """Parameters of the linear modules of all layers: Σ inputs · outputs."""
        return self.layers * sum(inputs * outputs for inputs, outputs in self.linear.values())

    @property
    def other_parameters(self) -> int:
        """Parameters of embeddings and norms: V·D, again for an output embedding, and (2·layers + 1)·D."""
        embeddings = self.vocabulary * self.hidden * (1 if self.tied else 2)
        norms = (2 * self.layers + 1) * self.hidden + (2 * self.layers * self.head if self.normed_heads else 0)
        return embeddings + norms

    @property
    def parameters(self) -> int:
        """All parameters."""
        return self.linear_parameters + self.other_parameters


def _shape(layers: int, hidden: int, inner: int, heads: int, kv_heads: int, head: int, vocabulary: int) -> ModelShape:
    return ModelShape(
        layers=layers,
        hidden=hidden,
        inner=inner,
        heads=heads,
        kv_heads=kv_heads,
        head=head,
        vocabulary=vocabulary,
        tied=False,
    )


def _qwen3(layers: int, hidden: int, inner: int, heads: int) -> ModelShape:
    return ModelShape(
        layers=layers,
        hidden=hidden,
        inner=inner,
        heads=heads,
        kv_heads=8,
        head=128,
        vocabulary=151_936,
        tied=True,
        normed_heads=True,
    )


SHAPES: Mapping[str, ModelShape] = {
    "tiny": ModelShape(layers=2, hidden=64, inner=64, heads=2, kv_heads=1, head=32, vocabulary=258, tied=True),
    "smollm2_135m": ModelShape(
        layers=30, hidden=576, inner=1536, heads=9, kv_heads=3, head=64, vocabulary=49_152, tied=True
    ),
    "Qwen/Qwen3-0.6B": _qwen3(28, 1024, 3072, 16),
    "Qwen/Qwen3-4B": _qwen3(36, 2560, 9728, 32),
    "meta-llama/Meta-Llama-3-8B-Instruct": _shape(32, 4096, 14_336, 32, 8, 128, 128_256),
    "meta-llama/Llama-3.1-70B-Instruct": _shape(80, 8192, 28_672, 64, 8, 128, 128_256),
}
"""The models of conf/student, from their configurations on the Hugging Face hub."""


def model_shape(model: str) -> ModelShape:
    """Return the shape of ``model``: a name in the table, a folder, or a hub id whose configuration is cached.

    Raises:
        ConfigError: It is none of these, or a model of another kind.
    """
    if model in SHAPES:
        return SHAPES[model]
    path = Path(model).expanduser() / "config.json"
    if not path.is_file():
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(model, "config.json") if model.count("/") == 1 else None
        if not isinstance(found, str):
            raise ConfigError(
                f"The shape of student.model={model} is not known and its config.json is not on this machine: give a "
                f"folder, or download that file first (hf download {model} config.json)."
            )
        path = Path(found)
    return shape_of_config(json.loads(path.read_text(encoding="utf-8")), model=model)


def shape_of_config(config: Mapping[str, Any], *, model: str) -> ModelShape:
    """Return the shape that a ``config.json`` describes.

    Raises:
        ConfigError: It describes a model of another kind.
    """
    text = config.get("text_config", config)
    try:
        if any("expert" in name for name in text):
            raise KeyError("one without experts")
        heads = text["num_attention_heads"]
        return ModelShape(
            layers=text["num_hidden_layers"],
            hidden=text["hidden_size"],
            inner=text["intermediate_size"],
            heads=heads,
            kv_heads=text.get("num_key_value_heads") or heads,
            head=text.get("head_dim") or text["hidden_size"] // heads,
            vocabulary=text["vocab_size"],
            tied=text.get("tie_word_embeddings", False),
            normed_heads="qwen3" in text.get("model_type", ""),
        )
    except KeyError as error:
        raise ConfigError(
            f"The memory of student.model={model} ({text.get('model_type')}) cannot be estimated: its config.json is "
            f"not that of a plain decoder ({error})."
        ) from error
