"""One conversation, read with the model's own cache as its ``generate`` reads it."""

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel


class OwnCache:
    """What a model keeps of the tokens of one decision.

    The prompt is read in one pass and every later token in a pass of its own: not every family can continue a cache
    with several tokens, or go back in it.
    """

    def __init__(self) -> None:
        self._past: object = None

    def read(self, model: PreTrainedModel, new_tokens: Sequence[int]) -> torch.Tensor:
        """Read ``new_tokens`` and return the logits after the last one, of shape (V,)."""
        parts = [list(new_tokens)] if self._past is None else [[token] for token in new_tokens]
        with torch.inference_mode():
            for part in parts:
                ids = torch.tensor([part], device=model.device)
                output = model(input_ids=ids, past_key_values=self._past, use_cache=True)
                self._past = output.past_key_values
        logits_V: torch.Tensor = output.logits[0, -1]
        return logits_V
