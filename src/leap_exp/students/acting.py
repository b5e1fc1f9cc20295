"""The weights that students act with: in memory there are those of one student at a time."""

from pathlib import Path

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from transformers import PreTrainedModel

from leap_exp.students.varlen import ATTENTION, ConversationCache
from leap_exp.students.weights import load_model

Adapters = tuple[tuple[Path, float], ...]
"""Folders of adapters, each with the share that it is merged with; none for the base weights."""


class ActingWeights:
    """What the students of one base model share: whoever acts has its weights read in place of the last one's.

    Attributes:
        caches: The conversations that the weights in memory have read.
    """

    def __init__(self, source: str, *, dtype: torch.dtype, device: str) -> None:
        self.caches: dict[tuple[str, int], ConversationCache] = {}
        self._source = source
        self._dtype = dtype
        self._device = device
        self._adapters: Adapters = ()
        self._model: PreTrainedModel | None = None

    def model(self, adapters: Adapters) -> PreTrainedModel:
        """The base model with ``adapters`` merged in, each multiplied by its share."""
        if self._model is None or adapters != self._adapters:
            self.free()
            self._model = self._merged(adapters)
            self._adapters = adapters
        return self._model

    def free(self) -> None:
        """Let go of the weights, which are read anew when needed."""
        self._model = None
        self.caches = {}

    def _merged(self, adapters: Adapters) -> PreTrainedModel:
        model = load_model(self._source, dtype=self._dtype, device=self._device)
        for folder, share in adapters:
            adapted = PeftModel.from_pretrained(model, str(folder))
            for module in adapted.modules():
                if isinstance(module, LoraLayer):
                    module.scale_layer(share)
            model = adapted.merge_and_unload()
        model.set_attn_implementation(ATTENTION)
        return model
