"""Probe: how likely a student finds the teacher's actions, on corrections it trains on and on held-out ones."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from leap_exp.analysis.leakage import leaking_share
from leap_exp.analysis.realizability import agreement, measure
from leap_exp.core.protocols import ProgressCallback, Student
from leap_exp.core.seeding import derive_seed
from leap_exp.core.types import Correction, Task

CHUNK = 8
"""Corrections asked about at a time: enough to keep a processor busy, few enough to see progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probes:
    """Corrections of one round, drawn once and shown to the student before and after its training."""

    train: Sequence[Correction]
    heldout: Sequence[Correction]

    def samples(self) -> Mapping[str, Sequence[Correction]]:
        """The samples by name, without empty ones."""
        samples = {"train": self.train, "heldout": self.heldout}
        return {name: corrections for name, corrections in samples.items() if corrections}


def draw_probes(
    corrections: Sequence[Correction], holds_out: Callable[[Task], bool], *, size: int, seed: int
) -> Probes:
    """Up to ``size`` corrections of tasks that are trained on and as many of tasks that ``holds_out`` keeps back."""
    heldout = [correction for correction in corrections if holds_out(correction.trajectory.task)]
    train = [correction for correction in corrections if not holds_out(correction.trajectory.task)]

    def draw(name: str, population: list[Correction]) -> list[Correction]:
        return random.Random(derive_seed(seed, name)).sample(population, min(size, len(population)))

    return Probes(train=draw("train", train), heldout=draw("heldout", heldout))


def probe(student: Student, probes: Probes, *, on_progress: ProgressCallback) -> dict[str, list[float]]:
    """Log-probability (nats) of the teacher's action at every step of the probes, by sample."""
    logprobs: dict[str, list[float]] = {}
    total, done = sum(map(len, probes.samples().values())), 0
    for name, corrections in probes.samples().items():
        logprobs[name] = []
        for start in range(0, len(corrections), CHUNK):
            chunk = corrections[start : start + CHUNK]
            logprobs[name] += student.logprobs(chunk)
            done += len(chunk)
            on_progress(done, total)
    return logprobs


def probe_metrics(
    corrections: Sequence[Correction],
    probes: Probes,
    before: Mapping[str, Sequence[float]],
    after: Mapping[str, Sequence[float]],
) -> dict[str, float]:
    """The realizability and leakage metrics of a round with ``corrections``, of which ``probes`` were probed."""
    metrics: dict[str, float] = {}
    if corrections:
        metrics |= {**agreement(corrections), "leakage/share": leaking_share(corrections)}
    for name, sample in probes.samples().items():
        metrics |= measure(sample, before[name], after[name], sample=name)
    return metrics
