"""Count how often the student and its corrections take the action of a shortest plan: ``python agreement.py RUN_DIR``.

Prints one line per round: all steps, those where the student (``own``) or the correction (``corrected``) takes that
action, the changed steps, and those that change to it (``better``) or away from it (``worse``).
"""

import sys
from collections import Counter
from pathlib import Path

from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import Correction, views
from leap_exp.envs.alfworld import AlfworldEnvironment
from leap_exp.envs.alfworld.config import AlfworldConfig
from leap_exp.runs import read_records


def main(run_dir: Path) -> None:
    """Print a line for each round."""
    environment = AlfworldEnvironment(AlfworldConfig())
    for path in sorted(run_dir.glob("round_*/corrections.jsonl"))[1:]:
        counts: Counter[str] = Counter()
        for correction in read_records(path).of(Correction):
            oracle = environment.oracle(correction.trajectory.task)
            steps = zip(
                views(correction.trajectory),
                correction.trajectory.steps,
                correction.decisions,
                correction.changed,
                strict=True,
            )
            for view, step, decision, changed in steps:
                best = oracle.decide(view, Disclosure.P50, seed=0).action
                counts.update(
                    steps=1,
                    own=step.decision.action == best,
                    corrected=decision.action == best,
                    changed=changed,
                    better=changed and decision.action == best,
                    worse=changed and step.decision.action == best,
                )
        print(path.parent.name, dict(counts))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
