"""Aggregate: which of the corrections so far a round trains on (DAgger's D_i)."""

import random
from collections.abc import Sequence
from enum import StrEnum

from leap_exp.core.seeding import derive_seed
from leap_exp.core.types import Correction, Example


class Aggregation(StrEnum):
    """How the corrections of the rounds so far become a round's training set."""

    ALL = "all"
    """The union of all rounds."""
    BALANCED = "balanced"
    """The union, every round cut at random to the size of the smallest that has any (as the paper's authors ran it)."""
    LATEST = "latest"
    """The last round that has any, alone."""


def aggregate(rounds: Sequence[Sequence[Correction]], how: Aggregation, *, seed: int) -> list[Example]:
    """The examples to train on, ordered by round and place; ``rounds[i]`` holds the corrections of round i."""
    sizes = [len(corrections) for corrections in rounds if corrections]
    examples: list[Example] = []
    for index, corrections in enumerate(rounds):
        positions = list(range(len(corrections)))
        if how is Aggregation.BALANCED and corrections:
            positions = sorted(random.Random(derive_seed(seed, "balance", index)).sample(positions, min(sizes)))
        chosen = [
            Example(round_index=index, position=position, task_id=corrections[position].trajectory.task.id)
            for position in positions
        ]
        if how is Aggregation.LATEST:
            examples = chosen or examples
        else:
            examples += chosen
    return examples


def select(rounds: Sequence[Sequence[Correction]], examples: Sequence[Example]) -> list[Correction]:
    """The corrections that ``examples`` point to."""
    return [rounds[example.round_index][example.position] for example in examples]


def aggregation_metrics(dataset: Sequence[Correction]) -> dict[str, float]:
    """The size of a training set in corrections and in steps."""
    return {
        "aggregate/corrections_count": len(dataset),
        "aggregate/steps_count": sum(len(correction.decisions) for correction in dataset),
    }
