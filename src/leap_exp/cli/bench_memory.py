"""``leap bench memory``: the memory that is computed for training and acting, against measured peaks."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

import typer

from leap_exp.students.sizing.memory import FULL, HALF, Sizing, acting_bytes, training_bytes
from leap_exp.students.sizing.shapes import SHAPES, ModelShape

NARROW = ModelShape(layers=4, hidden=256, inner=768, heads=8, kv_heads=2, head=32, vocabulary=4096, tied=True)
WIDE = ModelShape(layers=3, hidden=512, inner=1024, heads=8, kv_heads=8, head=64, vocabulary=1000, tied=False)
LENGTH, SCORED = 256, 64


def memory(
    large: Annotated[bool, typer.Option(help="Measure SmolLM2-135M too, in float32; takes a minute.")] = False,
) -> None:
    """Compare the formulas for memory with what tensors take while small models with random weights are trained."""
    shapes = {"narrow": NARROW, "wide": WIDE, **({"smollm2_135m": SHAPES["smollm2_135m"]} if large else {})}
    ratios: dict[str, float] = {}
    for name, shape in shapes.items():
        for case, sizing in cases(shape):
            if shape.layers > NARROW.layers and (sizing.number_bytes == HALF or sizing.dropout):
                continue
            ratios[f"{name}_{case}_ratio"] = round(training_ratio(sizing), 3)
            print(name, case, ratios[f"{name}_{case}_ratio"], file=sys.stderr, flush=True)
        ratios[f"{name}_acting_ratio"] = round(acting_ratio(Sizing(shape=shape, number_bytes=FULL)), 3)
    print(json.dumps({"benchmark": "memory", **ratios}))


def cases(shape: ModelShape) -> Iterator[tuple[str, Sizing]]:
    """Yield the ways of training ``shape`` that the formulas tell apart, with their names."""
    for name, number in (("float32", FULL), ("bfloat16", HALF)):
        plain = Sizing(shape=shape, number_bytes=number, rank=16, adapted_layers=shape.layers)
        yield name, plain
        yield f"{name}_dropout", replace(plain, dropout=True)
        yield f"{name}_eager", replace(plain, eager=True)
        yield f"{name}_checkpointed", replace(plain, checkpointed=True)
        yield f"{name}_checkpointed_dropout_eager", replace(plain, checkpointed=True, dropout=True, eager=True)
        yield f"{name}_top_layers", replace(plain, adapted_layers=shape.layers // 2)


def training_ratio(sizing: Sizing, *, rows: int = 1) -> float:
    """Return the computed peak of training, divided by the measured one."""
    from leap_exp.students.sizing.measure import training_peak_bytes

    computed = sum(training_bytes(sizing, rows=rows, length=LENGTH, scored=rows * SCORED).values())
    return computed / training_peak_bytes(sizing, rows=rows, length=LENGTH, scored=rows * SCORED)


def acting_ratio(sizing: Sizing) -> float:
    """Return the computed bytes of acting in four conversations, divided by the measured ones."""
    from leap_exp.students.sizing.measure import acting_peak_bytes

    computed = sum(acting_bytes(sizing, conversations=4, length=LENGTH).values())
    return computed / acting_peak_bytes(sizing, conversations=4, length=LENGTH)
