"""The shares of kinds of actions in the last evaluation of runs: ``python actions.py RUN_FOLDER ...``."""

import sys
from collections import Counter
from pathlib import Path

from leap_exp.analysis.run import read_run


def shares(folder: Path) -> dict[str, float]:
    """Return the share of each first word among the actions, the most frequent first."""
    run = read_run(folder)
    steps = [step for trajectory in run.evaluation(run.rounds[-1]["round"]) for step in trajectory.steps]
    words = Counter(step.decision.action.split()[0] for step in steps if step.decision.action)
    return {word: count / words.total() for word, count in words.most_common()}


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(Path(name).name, *(f"{word} {share:.0%}" for word, share in shares(Path(name)).items()))
