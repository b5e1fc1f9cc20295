"""Measured peaks of training and acting with random weights, to compare with the formulas of ``memory``."""

import torch
from peft import get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from leap_exp.students.adapters import Modules, lora_config
from leap_exp.students.config import AdapterConfig
from leap_exp.students.sizing.allocations import Allocations
from leap_exp.students.sizing.memory import HALF, Sizing
from leap_exp.tokens.scoring import collate, score_batch
from leap_exp.tokens.spans import Role, Row, Span
from leap_exp.tokens.tree import TokenTree


def training_peak_bytes(sizing: Sizing, *, rows: int, length: int, scored: int) -> int:
    """Return the peak of two optimizer steps on ``rows`` rows, each with ``scored`` / ``rows`` scored tokens."""
    model = _model(sizing)
    allocations = Allocations()
    adapter = AdapterConfig(r=sizing.rank, dropout=0.1 if sizing.dropout else 0.0, top_layers=sizing.adapted_layers)
    trained = get_peft_model(model, lora_config(adapter, Modules.of(model))).train()
    for tensor in (*trained.parameters(), *trained.buffers()):
        allocations.count(tensor)
    if sizing.checkpointed:
        trained.enable_input_require_grads()
        trained.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    optimizer = torch.optim.AdamW([weight for weight in trained.parameters() if weight.requires_grad])
    batch = collate([_row(length, scored // rows) for _ in range(rows)], pad_id=0, dtype=trained.dtype)
    with allocations:
        for _ in range(2):
            (-score_batch(trained, batch).sum()).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()
    return allocations.peak


def acting_peak_bytes(sizing: Sizing, *, conversations: int, length: int) -> int:
    """Return the bytes after ``conversations`` of ``length`` tokens were read into a cache."""
    model = _model(sizing).eval()
    allocations = Allocations()
    for tensor in (*model.parameters(), *model.buffers()):
        allocations.count(tensor)
    with allocations, torch.inference_mode():
        ids_BT = torch.zeros(conversations, length, dtype=torch.long)
        cache = model(input_ids=ids_BT, use_cache=True, logits_to_keep=1).past_key_values
        del ids_BT
        used = allocations.current
        del cache
    return used


def _model(sizing: Sizing) -> LlamaForCausalLM:
    shape = sizing.shape
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head,
        tie_word_embeddings=shape.tied,
        attn_implementation="eager" if sizing.eager else "sdpa",
    )
    return LlamaForCausalLM(config).to(torch.bfloat16 if sizing.number_bytes == HALF else torch.float32)


def _row(length: int, scored: int) -> Row:
    places = tuple(range(length - scored - 1, length - 1))
    span = Span(role=Role.CHOSEN, step=0, places=places, targets=(1,) * scored, options=((),) * scored)
    return Row(task_id="", tree=TokenTree.of([(0,) * length]), spans=(span,))
