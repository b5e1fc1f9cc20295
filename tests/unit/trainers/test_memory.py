"""The estimate of what fits a device's memory."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from leap_exp.trainers.memory import MOST_TOKENS, TokenCost, token_budget

GIB = 2**30
LLAMA3_8B = LlamaConfig(
    vocab_size=128_256,
    hidden_size=4096,
    intermediate_size=14_336,
    num_hidden_layers=32,
    num_attention_heads=32,
    num_key_value_heads=8,
)
MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def saved_bytes(config, *, layers, tokens, rank, dropout):
    """The bytes that a forward pass of a LoRA training keeps for its backward pass, in bfloat16 under autocast."""
    config = LlamaConfig(**{**config, "num_hidden_layers": layers})
    base = LlamaForCausalLM(config).to(torch.bfloat16)
    lora = LoraConfig(r=rank, lora_dropout=dropout, target_modules=MODULES, task_type="CAUSAL_LM")
    model = get_peft_model(base, lora).train()
    weights = {each.untyped_storage().data_ptr() for each in model.parameters()}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), torch.autocast("cpu", torch.bfloat16):
        model(input_ids=torch.zeros(1, tokens, dtype=torch.long), use_cache=False, logits_to_keep=1)
    return sum(size for size, _ in kept.values())


@pytest.mark.parametrize("dropout", [0.0, 0.05])
@pytest.mark.parametrize("sizes", [(128, 512, 4), (256, 512, 2)])
def test_the_cost_of_a_token_is_what_the_backward_pass_keeps(sizes, dropout):
    hidden, inner, keys = sizes
    config = {
        "vocab_size": 32,
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_attention_heads": 4,
        "num_key_value_heads": keys,
    }
    # Differences, so that neither what is outside the layers counts, nor what does not depend on the tokens.
    found = {
        (layers, tokens): saved_bytes(config, layers=layers, tokens=tokens, rank=16, dropout=dropout)
        for layers in (1, 2)
        for tokens in (64, 128)
    }
    per_token = (found[2, 128] - found[1, 128] - found[2, 64] + found[1, 64]) / 64
    cost = TokenCost.of(LlamaConfig(**config), rank=16, dropout=dropout > 0, scored_share=0.1)
    assert cost.layer == pytest.approx(per_token, rel=0.05)


def test_an_8b_model_trains_without_checkpointing_where_enough_tokens_fit():
    cost = TokenCost.of(LLAMA3_8B, rank=128, dropout=False, scored_share=0.1)
    h100 = token_budget(cost, 56 * GIB)
    assert not h100.needs_checkpointing(h100.tokens)
    assert 4096 <= h100.tokens <= 8192
    assert h100.needs_checkpointing(2 * h100.tokens)
    small = token_budget(cost, 8 * GIB)
    assert small.needs_checkpointing(small.tokens)
    assert small.tokens > small.plain


def test_a_small_model_gets_the_most_tokens_that_are_of_use():
    config = LlamaConfig(hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9)
    cost = TokenCost.of(config, rank=32, dropout=False, scored_share=0.1)
    assert token_budget(cost, 70 * GIB).tokens == MOST_TOKENS


def test_the_user_s_number_of_tokens_is_taken_and_checkpointed_if_it_must_be():
    cost = TokenCost.of(LLAMA3_8B, rank=128, dropout=True, scored_share=0.1)
    budget = token_budget(cost, 30 * GIB, tokens=20_000)
    assert budget.tokens == 20_000
    assert budget.needs_checkpointing(20_000)
