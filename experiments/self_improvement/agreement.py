"""How often students and their teachers take a step of a shortest plan: ``python agreement.py RUN_FOLDER ...``.

Prints one line per run and round after cloning: the corrected steps; the share of them where the student's action, and
the teacher's, cost nothing (``docs/measures.md``, recoverability); the share that the teacher changed; and of these
changes the share that leave a shorter plan than the student's action, and a longer one.
"""

import sys
from collections import Counter
from pathlib import Path

from leap_exp.analysis.recoverability import action_costs, action_values, own_cost
from leap_exp.config.finished import FinishedRun
from leap_exp.core.environments import Environment
from leap_exp.core.types import Correction
from leap_exp.runs import read_records


def counts(environment: Environment, correction: Correction) -> Counter[str]:
    """Count the steps of one correction at which the environment's oracle knows what each action costs."""
    found: Counter[str] = Counter()
    steps = zip(
        action_values(environment, correction.trajectory),
        correction.trajectory.steps,
        correction.decisions,
        correction.changed,
        strict=True,
    )
    for values, step, decision, changed in steps:
        if costs := action_costs(values):
            own, taught = own_cost(values, step), costs[decision.action]
            found.update(
                steps=1,
                own=own == 0,
                taught=taught == 0,
                changed=changed,
                shorter=changed and taught < own,
                longer=changed and taught > own,
            )
    return found


def main(folders: list[Path]) -> None:
    """Print the table."""
    print("| run | round | steps | student | teacher | changed | to a shorter plan | to a longer one |")
    print(f"| --- |{' ---: |' * 7}")
    for folder in folders:
        environment = FinishedRun.read(folder).environment
        for path in sorted(folder.glob("round_*/corrections.jsonl"))[1:]:
            total: Counter[str] = Counter()
            for correction in read_records(path).of(Correction):
                total += counts(environment, correction)
            if total:
                of_steps = [f"{total[name] / total['steps']:.1%}" for name in ("own", "taught", "changed")]
                of_changes = [f"{total[name] / max(total['changed'], 1):.0%}" for name in ("shorter", "longer")]
                cells = [folder.name, path.parent.name, str(total["steps"]), *of_steps, *of_changes]
                print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main(list(map(Path, sys.argv[1:])))
