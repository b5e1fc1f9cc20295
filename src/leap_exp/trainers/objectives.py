"""Objectives: from the scores of spans to a loss. An objective knows no model, and the fit loop knows no algorithm."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch

from leap_exp.tokens.spans import Role


@dataclass(frozen=True, slots=True)
class BatchScores:
    """The scored tokens of a batch under one model.

    Attributes:
        logprobs_N: Log-probability (nats) of each token.
        weights_N: Weight of each token in the loss.
    """

    logprobs_N: torch.Tensor
    weights_N: torch.Tensor


class Objective(Protocol):
    """What training minimises.

    Attributes:
        roles: The roles of spans that it needs.
    """

    roles: frozenset[Role]

    def __call__(
        self, trained: BatchScores, reference: BatchScores | None
    ) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        """Return the loss and further metrics, both summed over the batch.

        Args:
            trained: Scores of the model that is trained.
            reference: Scores of a reference or teacher model, for objectives that compare with one.
        """


class SupervisedObjective(Objective):
    """Supervised fine-tuning: the cross-entropy of the teacher's responses."""

    roles = frozenset({Role.CHOSEN})

    def __call__(
        self,
        trained: BatchScores,
        reference: BatchScores | None,  # noqa: ARG002
    ) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        """Return minus the weighted sum of log-probabilities."""
        return -(trained.logprobs_N * trained.weights_N).sum(), {}
