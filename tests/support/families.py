"""Models of all families that transformers has, with random weights in a few thin layers."""

from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

WINDOW = 12
VOCABULARY = 120
_LARGEST = 5_000_000
"""Parameters of the largest model that is built."""
_WEIGHTS = {"dtype": "float32", "initializer_range": 0.5, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_SIZES: dict[str, Any] = {
    "attention_chunk_size": WINDOW,
    "attention_types": [[["global", "local"], 2]],
    "block_size": 16,
    "conv_L_cache": 3,
    "d_model": 32,
    "decoder_attention_heads": 4,
    "decoder_ffn_dim": 32,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "encoder_layers": 2,
    "ffn_dim": 32,
    "head_dim": 8,
    "hidden_size": 32,
    "hidden_size_per_layer_input": 8,
    "intermediate_size": 32,
    "is_decoder": True,
    "kv_lora_rank": 16,
    "laurel_rank": 8,
    "linear_key_head_dim": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_value_head_dim": 8,
    "mamba_d_head": 8,
    "mamba_d_ssm": 32,
    "mamba_d_state": 8,
    "mamba_expand": 1,
    "mamba_n_groups": 1,
    "mamba_n_heads": 4,
    "max_position_embeddings": 512,
    "moe_intermediate_size": 16,
    "n_embd": 32,
    "n_group": 1,
    "n_head": 4,
    "n_heads": 4,
    "n_layer": 4,
    "n_layers": 4,
    "n_positions": 512,
    "n_routed_experts": 4,
    "num_attention_heads": 4,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "num_heads": 4,
    "num_hidden_layers": 4,
    "num_key_value_heads": 2,
    "num_kv_shared_layers": 0,
    "num_layers": 4,
    "num_local_experts": 4,
    "partial_rotary_factor": 0.5,
    "q_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "rotary_dim": 4,
    "shared_expert_intermediate_size": 16,
    "sliding_window": WINDOW,
    "state_size": 8,
    "topk_group": 1,
    "use_sliding_window": False,
    "v_head_dim": 8,
    "vocab_size": VOCABULARY,
    "vocab_size_per_layer_input": VOCABULARY,
    "window_size": WINDOW,
}


def all_families() -> list[str]:
    """Return the names of all families of causal language models."""
    return sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


def thin_model(family: str, **changes: Any) -> PreTrainedModel:
    """Return a model of ``family`` with random weights that are always the same.

    Raises:
        ValueError: Its sizes could not be reduced.
    """
    kind = CONFIG_MAPPING[family]
    defaults = kind().to_dict()
    nested = isinstance(defaults.get("text_config"), dict)
    settings = defaults["text_config"] if nested else defaults
    sizes = {**_WEIGHTS, **{name: value for name, value in _SIZES.items() if name in settings}}
    types = settings.get("layer_types")
    if types:
        # The first four layers, unless only the last four are of different types.
        sizes["layer_types"] = types[-4:] if len(set(types[:4])) == 1 else types[:4]
    sizes |= changes
    config = kind(text_config=sizes, dtype="float32", pad_token_id=0) if nested else kind(**sizes)
    with torch.device("meta"):
        count = sum(weight.numel() for weight in AutoModelForCausalLM.from_config(config).parameters())
    if count > _LARGEST:
        raise ValueError(f"{family} still has {count} parameters")
    state = torch.random.get_rng_state()
    torch.manual_seed(0)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config).eval()
    torch.random.set_rng_state(state)
    # Some families always end with a certain token, which is not greedy decoding.
    model.generation_config.forced_eos_token_id = None
    return model
