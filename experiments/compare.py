"""The last round of an arm against another's, paired by task: ``python experiments/compare.py FOLDER ARM OTHER_ARM``.

FOLDER has a folder ``SETTING=ARM,seed=N`` for each run of a sweep, or for each evaluation by ``leap eval``.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from leap_exp.analysis.run import read_run
from leap_exp.analysis.statistics import compare


def scores(folder: Path, arm: str) -> list[Mapping[str, float]]:
    """Return the success by task after the last round, one mapping per seed."""
    runs = [read_run(path) for path in sorted(folder.glob(f"*={arm},seed=*"))]
    if not runs or not all(run.complete for run in runs):
        sys.exit(f"{folder} has no runs *={arm},seed=*, or unfinished ones.")
    return [run.scores[-1] for run in runs]


if __name__ == "__main__":
    folder, *arms = sys.argv[1:]
    after, before = (scores(Path(folder), arm) for arm in arms)
    print(compare(after, before))
