"""A student's weights for training: in this process, or in others that they are sent to."""

from dataclasses import dataclass

import torch
from peft import PeftModel, get_peft_model
from transformers import PreTrainedModel

from leap_exp.students.adapters import lora_config
from leap_exp.students.config import AdapterConfig
from leap_exp.students.engines.in_process import InProcessEngine
from leap_exp.students.quantized import prepared
from leap_exp.students.weights import load_model
from leap_exp.tokens.engine import Adapters, TrainableWeights


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentWeights(TrainableWeights):
    """How to load the weights of a student. It holds no weights itself and can be pickled.

    Attributes:
        engine: The engine of the base model.
        source: What ``load_model`` loads.
        dtype: Type of the weights.
        device: Where they are used.
        adapters: The student's adapters.
        lora: Settings of a new adapter.
        quantization: nf4, int8, or None; see ``load_model``.
        pad_id: Token id for padding.
    """

    engine: InProcessEngine
    source: str
    dtype: torch.dtype
    device: str
    adapters: Adapters
    lora: AdapterConfig
    quantization: str | None
    pad_id: int

    @property
    def one_pass(self) -> bool:
        """Whether the model scores all branches of a row in one pass; otherwise each is a sequence of its own."""
        return self.engine.facts.method.one_pass

    @property
    def can_be_spread(self) -> bool:
        """Whether several devices can have a part of the weights each."""
        return self.one_pass and self.quantization is None

    def trainable_model(self, *, device: str | None = None) -> PeftModel:
        """Return the base model with the student's adapter on top, ready to train; a new adapter if it has none."""
        where = device or self.device
        base = load_model(self.source, dtype=self.dtype, device=where, quantization=self.quantization)
        if self.quantization is not None:
            base = prepared(base)
        if self.adapters:
            ((folder, _),) = self.adapters
            return PeftModel.from_pretrained(base, str(folder), is_trainable=True)
        return get_peft_model(base, lora_config(self.lora, self.engine.facts.modules))

    def frozen_model(self) -> PreTrainedModel:
        """Return a copy of the model with the student's adapters merged in, to compare another one with."""
        self.engine.load_adapter(self.adapters)
        model = self.engine.model
        self.engine.sleep()
        return model

    def resident_bytes(self) -> float:
        """Return the bytes that training keeps on a device, whatever the rows: weights, adapter, gradient, moments."""
        facts = self.engine.facts
        names = facts.modules.linear_in_layers()
        adapted = sum(sum(shape) for name, shape in facts.modules.shapes.items() if shape and _last(name) in names)
        layers = self.lora.top_layers or facts.modules.layers
        adapter = self.lora.r * adapted * layers / facts.modules.layers
        return facts.bytes + adapter * _ADAPTER_BYTES


_ADAPTER_BYTES = 16
"""Of a parameter of the adapter: itself, its gradient and AdamW's two moments, in float32."""


def _last(name: str) -> str:
    return name.rpartition(".")[2]
