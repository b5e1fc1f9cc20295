"""How often the student and its corrections take the step of a shortest plan: ``python agreement.py RUN_DIR``."""

import sys
from collections import Counter
from pathlib import Path

from leap_exp.config.environments import AlfworldConfig
from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import Correction, views
from leap_exp.store import read_records


def main(run_dir: Path) -> None:
    """Print a line for each round."""
    environment = AlfworldConfig().build()
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
