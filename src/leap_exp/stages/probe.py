"""Probe: how likely a student finds the teacher's actions, on corrections it trains on and on held-out ones."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from leap_exp.analysis.leakage import leaking_share
from leap_exp.analysis.realizability import agreement, measure
from leap_exp.core.protocols import ProgressCallback, Student
from leap_exp.core.seeding import derive_seed
from leap_exp.core.types import Correction

CHUNK = 8
"""Corrections per call of the student: enough to keep a processor busy, few enough to show progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probes:
    """Corrections of one round, drawn once and scored before and after its training."""

    train: Sequence[Correction]
    heldout: Sequence[Correction]

    def samples(self) -> Mapping[str, Sequence[Correction]]:
        """Return the samples by name, without empty ones."""
        samples = {"train": self.train, "heldout": self.heldout}
        return {name: corrections for name, corrections in samples.items() if corrections}


def draw_probes(train: Sequence[Correction], held_out: Sequence[Correction], *, size: int, seed: int) -> Probes:
    """Draw up to ``size`` corrections of tasks that are trained on, and as many of held-out tasks."""

    def draw(name: str, population: Sequence[Correction]) -> list[Correction]:
        return random.Random(derive_seed(seed, name)).sample(population, min(size, len(population)))

    return Probes(train=draw("train", train), heldout=draw("heldout", held_out))


def probe(student: Student, probes: Probes, *, on_progress: ProgressCallback) -> dict[str, list[float]]:
    """Return the log-probability (nats) of the teacher's action at every step of the probes, by sample."""
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
    """Return the realizability and leakage metrics of a round with ``corrections``, some of which are ``probes``."""
    metrics: dict[str, float] = {}
    if corrections:
        metrics |= {**agreement(corrections), "leakage/share": leaking_share(corrections)}
    for name, sample in probes.samples().items():
        metrics |= measure(sample, before[name], after[name], sample=name)
    return metrics
