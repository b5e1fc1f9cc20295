"""Divergences between the distributions of a student and a teacher over the next token."""

import torch

from leap_exp.tokens.scoring import IGNORED
from leap_exp.trainers.choices import Divergence

_IMPOSSIBLE = -1e9
"""Logit of a token that is no option: finite, because the gradient at minus infinity is not a number."""
_SMALLEST_REST = 1e-7
"""Smallest probability of all tokens together that are not among the top k."""


def distributions(
    student_NV: torch.Tensor, teacher_NV: torch.Tensor, options_NK: torch.Tensor, *, top_k: int | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the log-probabilities of both models over the same C choices, of shape (N, C).

    Args:
        student_NV: Logits of the student.
        teacher_NV: Logits of the teacher.
        options_NK: The tokens to choose from, filled up with IGNORED; all IGNORED for the whole vocabulary.
        top_k: Keep the teacher's likeliest tokens, and the rest as one more choice; None for all.
    """
    student_NC, teacher_NC = (_over_options(logits.float(), options_NK) for logits in (student_NV, teacher_NV))
    if top_k is None or top_k >= teacher_NC.shape[-1]:
        return student_NC, teacher_NC
    places_NC = teacher_NC.topk(top_k, dim=-1).indices
    return _with_rest(student_NC.gather(-1, places_NC)), _with_rest(teacher_NC.gather(-1, places_NC))


def divergence(
    student_NC: torch.Tensor, teacher_NC: torch.Tensor, kind: Divergence, *, beta: float = 0.5
) -> torch.Tensor:
    """Return the divergence (nats) at each token, of shape (N,).

    Args:
        student_NC: Log-probabilities of the student.
        teacher_NC: Log-probabilities of the teacher over the same choices.
        kind: Which divergence.
        beta: With the Jensen-Shannon divergence, the teacher's share of the mixture.
    """
    if kind is Divergence.FORWARD:
        return _kl(teacher_NC, student_NC)
    if kind is Divergence.REVERSE:
        return _kl(student_NC, teacher_NC)
    share = torch.tensor(beta, dtype=student_NC.dtype, device=student_NC.device)
    mixture_NC = torch.logaddexp(student_NC + torch.log1p(-share), teacher_NC + torch.log(share))
    return share * _kl(teacher_NC, mixture_NC) + (1 - share) * _kl(student_NC, mixture_NC)


def _kl(first_NC: torch.Tensor, second_NC: torch.Tensor) -> torch.Tensor:
    """Return KL(first || second) at each token."""
    return (first_NC.exp() * (first_NC - second_NC)).sum(-1)


def _over_options(logits_NV: torch.Tensor, options_NK: torch.Tensor) -> torch.Tensor:
    """Return log-probabilities over the options: of shape (N, K), or (N, V) if some token may be any."""
    is_option_NK = options_NK != IGNORED
    free_N = ~is_option_NK.any(dim=-1)
    if not free_N.any():
        chosen_NK = logits_NV.gather(-1, options_NK.clamp(min=0))
        return chosen_NK.masked_fill(~is_option_NK, _IMPOSSIBLE).log_softmax(-1)
    allowed_NV = free_N[:, None].expand(logits_NV.shape).clone()
    rows_M, columns_M = is_option_NK.nonzero(as_tuple=True)
    allowed_NV[rows_M, options_NK[rows_M, columns_M]] = True
    return logits_NV.masked_fill(~allowed_NV, _IMPOSSIBLE).log_softmax(-1)


def _with_rest(logprobs_NK: torch.Tensor) -> torch.Tensor:
    """Return ``logprobs_NK`` with the log-probability of all other choices together as the last one."""
    rest_N = (1 - logprobs_NK.exp().sum(-1)).clamp(min=_SMALLEST_REST).log()
    return torch.cat([logprobs_NK, rest_N[:, None]], dim=-1)
