"""Objectives: from the scores of spans to a loss. An objective knows no model, and the fit loop knows no algorithm."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch.nn.functional import logsigmoid

from leap_exp.tokens.scoring import ROLES, Batch
from leap_exp.tokens.spans import Role
from leap_exp.trainers.choices import Divergence
from leap_exp.trainers.divergence import distributions, divergence

Loss = tuple[torch.Tensor, Mapping[str, torch.Tensor]]
"""A loss and further metrics, all summed over the units of a batch."""


@dataclass(frozen=True, slots=True)
class BatchScores:
    """The scored tokens of a batch under one model.

    Attributes:
        batch: The batch.
        logprobs_N: Log-probability (nats) of each token.
        logits_NV: Logits at the place of each token, for objectives that compare distributions.
    """

    batch: Batch
    logprobs_N: torch.Tensor
    logits_NV: torch.Tensor | None = None

    def of_spans(self, values_N: torch.Tensor) -> torch.Tensor:
        """Return the sum of a token's ``values_N`` over each span, of shape (S,)."""
        return values_N.new_zeros(len(self.batch["roles"])).index_add(0, self.batch["spans"], values_N)


class Objective(Protocol):
    """What training minimises: a mean over units, such as tokens or pairs of responses.

    Attributes:
        roles: The roles of spans that it needs.
        needs_reference: Whether it compares with the log-probabilities before training.
        needs_teacher: Whether it compares with the distributions of a teacher model.
        looks_ahead: Whether it needs an estimate over the whole accumulated batch beforehand.
    """

    roles: frozenset[Role]
    needs_reference: bool = False
    needs_teacher: bool = False
    looks_ahead: bool = False

    @abstractmethod
    def units(self, batch: Batch) -> torch.Tensor:
        """Return the number of units in ``batch``."""

    @abstractmethod
    def __call__(self, trained: BatchScores, other: BatchScores | None, ahead: torch.Tensor | None) -> Loss:
        """Return the loss of a batch.

        Args:
            trained: Scores of the model that is trained.
            other: Scores of the reference on the same tokens, or of the teacher on those that are distilled, if the
                objective needs one and the batch has them.
            ahead: What ``estimate`` returned for the accumulated batch, if the objective looks ahead.
        """

    def estimate(self, batches: Sequence[tuple[BatchScores, BatchScores]]) -> torch.Tensor:  # noqa: ARG002
        """Return a figure of the whole accumulated batch, from its scores and the reference's, without gradients."""
        return torch.zeros(())


class SupervisedObjective(Objective):
    """Supervised fine-tuning: the cross-entropy of the teacher's responses."""

    roles = frozenset({Role.CHOSEN})

    def units(self, batch: Batch) -> torch.Tensor:
        """Return the number of scored tokens."""
        return is_role(batch, Role.CHOSEN)[batch["spans"]].sum()

    def __call__(
        self,
        trained: BatchScores,
        other: BatchScores | None,  # noqa: ARG002
        ahead: torch.Tensor | None,  # noqa: ARG002
    ) -> Loss:
        """Return minus the weighted sum of log-probabilities."""
        batch = trained.batch
        weights_N = batch["weights"] * is_role(batch, Role.CHOSEN)[batch["spans"]]
        return -(trained.logprobs_N * weights_N).sum(), {}


@dataclass(frozen=True, slots=True)
class PreferenceObjective(Objective):
    """Direct preference optimisation (Rafailov et al. 2023) of the teacher's response over the student's own.

    Attributes:
        beta: How strongly the reference holds.
        label_smoothing: Assumed share of pairs that are the wrong way round (conservative DPO).
        ipo: Use the squared loss of IPO (Azar et al. 2024) on means over tokens, as its authors do.
        per_token: Divide log-ratios by the number of scored tokens.
    """

    beta: float
    label_smoothing: float = 0.0
    ipo: bool = False
    per_token: bool = False

    roles = frozenset({Role.CHOSEN, Role.REJECTED})
    needs_reference = True

    def units(self, batch: Batch) -> torch.Tensor:
        """Return the number of pairs."""
        return torch.tensor(len(batch["pairs"]))

    def __call__(self, trained: BatchScores, other: BatchScores | None, ahead: torch.Tensor | None) -> Loss:  # noqa: ARG002
        """Return the loss, with the pairs that are in the right order and their margins."""
        ratios_S = log_ratios(trained, other)
        if self.ipo or self.per_token:
            ratios_S = ratios_S / trained.of_spans(torch.ones_like(trained.logprobs_N)).clamp(min=1)
        margins_P = ratios_S[trained.batch["pairs"][:, 0]] - ratios_S[trained.batch["pairs"][:, 1]]
        if self.ipo:
            losses_P = (margins_P - 1 / (2 * self.beta)) ** 2
        else:
            wrong = self.label_smoothing
            losses_P = -(1 - wrong) * logsigmoid(self.beta * margins_P) - wrong * logsigmoid(-self.beta * margins_P)
        margins_P = margins_P.detach()
        return losses_P.sum(), {"accuracy_share": (margins_P > 0).float().sum(), "margin_nats": margins_P.sum()}


@dataclass(frozen=True, slots=True)
class KtoObjective(Objective):
    """Kahneman-Tversky optimisation (Ethayarajh et al. 2024): chosen responses are desirable, rejected ones are not.

    Attributes:
        beta: How strongly the reference holds.
        desirable_weight: Weight of desirable responses.
        undesirable_weight: Weight of undesirable ones.
    """

    beta: float
    desirable_weight: float = 1.0
    undesirable_weight: float = 1.0

    roles = frozenset({Role.CHOSEN, Role.REJECTED, Role.MISMATCHED})
    needs_reference = True
    looks_ahead = True

    def units(self, batch: Batch) -> torch.Tensor:
        """Return the number of responses."""
        return (is_role(batch, Role.CHOSEN) | is_role(batch, Role.REJECTED)).sum()

    def estimate(self, batches: Sequence[tuple[BatchScores, BatchScores]]) -> torch.Tensor:
        """Return the mean log-ratio of responses that belong to other steps: an estimate of the KL, at least 0."""
        ratios = [log_ratios(*scores)[is_role(scores[0].batch, Role.MISMATCHED)] for scores in batches]
        ratios_S = torch.cat(ratios)
        return ratios_S.sum().div(max(1, len(ratios_S))).clamp(min=0)

    def __call__(self, trained: BatchScores, other: BatchScores | None, ahead: torch.Tensor | None) -> Loss:
        """Return the loss, with the estimated KL."""
        assert ahead is not None  # noqa: S101 - it looks ahead
        ratios_S = log_ratios(trained, other)
        chosen_S, rejected_S = (ratios_S[is_role(trained.batch, role)] for role in (Role.CHOSEN, Role.REJECTED))
        desirable_S = 1 - torch.sigmoid(self.beta * (chosen_S - ahead))
        undesirable_S = 1 - torch.sigmoid(self.beta * (ahead - rejected_S))
        loss = self.desirable_weight * desirable_S.sum() + self.undesirable_weight * undesirable_S.sum()
        return loss, {"kl_nats": ahead * (len(chosen_S) + len(rejected_S))}


@dataclass(frozen=True, slots=True)
class DistillationObjective(Objective):
    """The divergence between the student's and the teacher's distributions at each token of a response.

    Attributes:
        roles: Whose responses: the student's own (``Role.OWN``), or the teacher's (``Role.TAUGHT``).
        divergence: Which divergence.
        beta: The teacher's share of the mixture in the Jensen-Shannon divergence.
        top_k: Compare the teacher's likeliest tokens and the rest as one; None for the whole vocabulary.
        clip: Highest divergence (nats) that counts at a token; None for no limit.
    """

    roles: frozenset[Role]
    divergence: Divergence
    beta: float = 0.5
    top_k: int | None = None
    clip: float | None = None

    needs_teacher = True

    def units(self, batch: Batch) -> torch.Tensor:
        """Return the number of tokens."""
        return self._distilled(batch).sum()

    def __call__(self, trained: BatchScores, other: BatchScores | None, ahead: torch.Tensor | None) -> Loss:  # noqa: ARG002
        """Return the loss, with the share of tokens at which both find the same token likeliest."""
        if other is None:
            # Nothing in the batch is compared.
            return 0 * trained.logprobs_N.sum(), {}
        assert trained.logits_NV is not None  # noqa: S101 - it needs a teacher
        assert other.logits_NV is not None  # noqa: S101 - it is the teacher
        kept_N = self._distilled(trained.batch)
        if not torch.equal(trained.batch["labels"][kept_N], other.batch["labels"]):
            raise ValueError("The rows with and without the briefing score different tokens.")
        options_NK = trained.batch["options"][kept_N]
        student_NC, teacher_NC = distributions(trained.logits_NV[kept_N], other.logits_NV, options_NK, top_k=self.top_k)
        losses_N = divergence(student_NC, teacher_NC, self.divergence, beta=self.beta)
        if self.clip is not None:
            losses_N = losses_N.clamp(max=self.clip)
        agreed_N = student_NC.argmax(-1) == teacher_NC.argmax(-1)
        weights_N = trained.batch["weights"][kept_N]
        return (losses_N * weights_N).sum(), {"agreement_share": agreed_N.float().sum()}

    def _distilled(self, batch: Batch) -> torch.Tensor:
        (role,) = self.roles
        return is_role(batch, role)[batch["spans"]]


def is_role(batch: Batch, role: Role) -> torch.Tensor:
    """Return whether each span of ``batch`` has ``role``, of shape (S,)."""
    return batch["roles"] == ROLES.index(role)


def log_ratios(trained: BatchScores, reference: BatchScores | None) -> torch.Tensor:
    """Return how much likelier (nats) each span is for the trained model than for the reference, of shape (S,)."""
    assert reference is not None  # noqa: S101 - the objective needs a reference
    return trained.of_spans(trained.logprobs_N - reference.logprobs_N)
