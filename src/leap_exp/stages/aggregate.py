"""Aggregate: select the corrections that a round trains on (DAgger's D_i)."""

import random
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum

from leap_exp.core.seeding import derive_seed
from leap_exp.core.sequences import Selected
from leap_exp.core.types import Correction, Example


class Aggregation(StrEnum):
    """How the corrections of all rounds so far become a training set."""

    ALL = "all"
    """All of them."""
    BALANCED = "balanced"
    """The same number from each round that has any: a random sample as large as the smallest (as in the paper)."""
    LATEST = "latest"
    """Those of the last round that has any."""


def aggregate(rounds: Sequence[Sequence[Correction]], how: Aggregation, *, seed: int) -> list[Example]:
    """Return the examples to train on, in the order of rounds; ``rounds[i]`` holds the corrections of round i."""
    sizes = [len(corrections) for corrections in rounds if corrections]
    examples: list[Example] = []
    for index, corrections in enumerate(rounds):
        positions = list(range(len(corrections)))
        if how is Aggregation.BALANCED and corrections:
            positions = sorted(random.Random(derive_seed(seed, "balance", index)).sample(positions, min(sizes)))
        selected = [
            Example(round_index=index, position=position, task_id=corrections[position].trajectory.task.id)
            for position in positions
        ]
        if how is Aggregation.LATEST:
            examples = selected or examples
        else:
            examples += selected
    return examples


def select(rounds: Sequence[Sequence[Correction]], examples: Sequence[Example]) -> Sequence[Correction]:
    """Return the corrections that ``examples`` refer to."""
    return Selected(rounds, [(example.round_index, example.position) for example in examples])


def aggregation_metrics(dataset: Sequence[Correction]) -> dict[str, float]:
    """Return the size of a training set in corrections and in steps, in all and of each joined environment."""
    corrections, steps = Counter[str](), Counter[str]()
    for correction in dataset:
        name, count = correction.trajectory.task.environment, len(correction.learnt_steps)
        for suffix in {"", f"/{name}" if name else ""}:
            corrections[suffix] += 1
            steps[suffix] += count
    return {
        **{f"aggregate/corrections_count{suffix}": corrections[suffix] for suffix in sorted({"", *corrections})},
        **{f"aggregate/steps_count{suffix}": steps[suffix] for suffix in sorted({"", *steps})},
    }
