"""How often the teachers of two arms take the same action: ``python same_actions.py SWEEP_FOLDER ARM ARM ...``."""

import sys
from pathlib import Path

from leap_exp.analysis.run import Run
from leap_exp.analysis.sweep import read_sweep
from leap_exp.core.types import Correction
from leap_exp.runs import read_records, round_name


def actions(runs: list[Run]) -> list[str]:
    """Return the teacher's actions in the first round after cloning, run by run and step by step."""
    corrections = [
        correction
        for run in runs
        for correction in read_records(run.folder / round_name(1) / "corrections.jsonl").of(Correction)
    ]
    return [decision.action for correction in corrections for decision in correction.decisions]


if __name__ == "__main__":
    folder, arms = Path(sys.argv[1]), sys.argv[2:]
    groups = {group.label: list(group.runs) for group in read_sweep(folder).groups}
    taken = {arm: actions(groups[arm]) for arm in arms}
    print(f"| {' | '.join(['', *arms])} |\n| --- |{' ---: |' * len(arms)}")
    for arm in arms:
        same = [sum(map(str.__eq__, taken[arm], taken[other])) / len(taken[arm]) for other in arms]
        print(f"| {' | '.join([arm, *(f'{share:.1%}' for share in same)])} |")
