"""The memory that a student needs, in bytes, from its shape and settings. Pure functions.

The formulas count tensors, not what an allocator rounds them up to or a framework needs for itself. ``leap bench
memory`` compares them with measured peaks. D, F and V are those of ``ModelShape``, Q and K the widths of all query
heads and of all key heads, T the tokens of a row, r the rank of the adapter.
"""

from dataclasses import dataclass

from leap_exp.students.sizing.shapes import ModelShape

NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Of a parameter in NF4: 4 bits; a scale of 8 bits per block of 64; a scale of 32 bits per 256 of these (Dettmers et
al. 2023, double quantisation)."""
FULL, HALF = 4, 2
"""Bytes of a number in float32 and in bfloat16."""
LOGITS_COPIES = 3
"""Tensors of the size of the logits that are alive at a time: the logits, their probabilities and their gradient."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizing:
    """What the memory of training and acting depends on.

    Attributes:
        shape: The model.
        number_bytes: Bytes of a number: 4 in float32, 2 in bfloat16.
        quantization: nf4, int8, or None.
        rank: Rank of the adapter.
        adapted_layers: Layers with an adapter.
        dropout: Whether the adapter's inputs are dropped out.
        checkpointed: Whether the layers are computed again in the backward pass.
        eager: Whether attention keeps its weights (T², per head) instead of computing them again.
        on_accelerator: Whether it is not computed on processors.
    """

    shape: ModelShape
    number_bytes: int
    quantization: str | None = None
    rank: int = 0
    adapted_layers: int = 0
    dropout: bool = False
    checkpointed: bool = False
    eager: bool = False
    on_accelerator: bool = False


def weights_bytes(sizing: Sizing, *, training: bool) -> float:
    """Return the bytes of the base weights: parameters · bytes of a number.

    Quantised, the linear modules of layers take ``NF4_BYTES`` each, or 1 byte and 4 for each output in int8. The other
    weights are float32 in training, as PEFT's preparation for it makes them.
    """
    shape, number = sizing.shape, sizing.number_bytes
    if sizing.quantization is None:
        return float(shape.parameters * number)
    other = shape.other_parameters * (FULL if training else number)
    if sizing.quantization == "nf4":
        return shape.linear_parameters * NF4_BYTES + other
    outputs = shape.layers * sum(size for _, size in shape.linear.values())
    return float(shape.linear_parameters + FULL * outputs + other)


def adapter_parameters(sizing: Sizing) -> int:
    """Return the parameters of the adapter: layers · Σ r·(inputs + outputs) over a layer's linear modules."""
    return sizing.adapted_layers * sum(sizing.rank * (i + o) for i, o in sizing.shape.linear.values())


def adapter_bytes(sizing: Sizing) -> int:
    """Return the bytes of the adapter, which PEFT keeps in float32."""
    return FULL * adapter_parameters(sizing)


def optimizer_bytes(sizing: Sizing) -> int:
    """Return the bytes of the gradients and of AdamW's two moments: 3 numbers in float32 for each adapter parameter."""
    return 3 * FULL * adapter_parameters(sizing)


def activations_bytes(sizing: Sizing, *, rows: int, length: int, scored: int) -> float:
    """Return the bytes that the backward pass over ``rows`` rows of ``length`` tokens needs; ``scored`` tokens count.

    Each layer with an adapter keeps ``layer_bytes``, those below the first one nothing. On top comes the larger of the
    logits, ``LOGITS_COPIES`` · scored · V numbers in float32, and of the gradients within a layer, ``gradients_bytes``.
    Checkpointed layers keep D numbers per token, and a single layer its ``layer_bytes``.
    """
    tokens = rows * length
    layer = layer_bytes(sizing, tokens=tokens, length=length)
    gradients = gradients_bytes(sizing, tokens=tokens)
    logits = float(LOGITS_COPIES * FULL * scored * sizing.shape.vocabulary)
    if sizing.checkpointed:
        kept = sizing.shape.layers * tokens * sizing.shape.hidden * sizing.number_bytes
        return kept + max(layer + gradients, logits)
    return sizing.adapted_layers * layer + max(gradients, logits)


def layer_bytes(sizing: Sizing, *, tokens: int, length: int) -> float:
    """Return the bytes that one layer with an adapter keeps for the backward pass.

    For each token: the input of its two norms in float32, 2·D; queries, the result of attention, and keys and values
    repeated for all query heads, 4·Q; the gate, its activation and the other branch, 3·F; what the adapter's seven
    modules read, in float32, and 7·r. In float32 without dropout, modules that read the same thing share it:
    2·D + Q + F, else 5·D + Q + F. Dropout also keeps a mask, of 4 bytes a number on processors and 1 on accelerators.
    Eager attention keeps its weights, heads·T in float32 and, in bfloat16, a second time.
    """
    shape, number = sizing.shape, sizing.number_bytes
    queries = shape.heads * shape.head
    inputs = sum(inputs for inputs, _ in shape.linear.values())
    shared = 2 * shape.hidden + queries + shape.inner
    read = FULL * (shared if number == FULL and not sizing.dropout else inputs) + FULL * 7 * sizing.rank
    mask = inputs * (1 if sizing.on_accelerator else FULL) if sizing.dropout else 0
    weights = shape.heads * length * (FULL if number == FULL else FULL + HALF) if sizing.eager else 0
    own = number * (4 * queries + 3 * shape.inner)
    return float(tokens * (2 * shape.hidden * FULL + own + read + mask + weights))


def gradients_bytes(sizing: Sizing, *, tokens: int) -> float:
    """Return the bytes of gradients that are alive while a layer still has everything it keeps: 3·F for each token.

    The gradients of attention come when the feed-forward layer has freed what it kept.
    """
    return float(3 * tokens * sizing.shape.inner * sizing.number_bytes)


def cache_bytes(sizing: Sizing, *, conversations: int, length: int) -> float:
    """Return the bytes of the keys and values of conversations: 2 · layers · K for each token."""
    shape = sizing.shape
    return float(2 * shape.layers * shape.kv_heads * shape.head * sizing.number_bytes * conversations * length)


def training_bytes(sizing: Sizing, *, rows: int, length: int, scored: int) -> dict[str, float]:
    """Return the bytes of training by their use; the sum is the peak."""
    return {
        "weights": weights_bytes(sizing, training=True),
        "adapter": float(adapter_bytes(sizing)),
        "optimizer": float(optimizer_bytes(sizing)),
        "activations": activations_bytes(sizing, rows=rows, length=length, scored=scored),
    }


def acting_bytes(sizing: Sizing, *, conversations: int, length: int) -> dict[str, float]:
    """Return the bytes of acting in this process by their use: the weights and the conversations' keys and values."""
    return {
        "weights": weights_bytes(sizing, training=False),
        "cache": cache_bytes(sizing, conversations=conversations, length=length),
    }
