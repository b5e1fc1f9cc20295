"""Compare two arms by evaluations of their students, paired by task: ``python compare.py FOLDER ARM OTHER_ARM``.

FOLDER holds a folder ``arm=ARM,seed=N`` of `leap eval` for each student.
"""

import sys
from pathlib import Path

from leap_exp.analysis.run import read_run
from leap_exp.analysis.statistics import compare

if __name__ == "__main__":
    folder, *arms = sys.argv[1:]
    after, before = (
        [read_run(run).scores[-1] for run in sorted(Path(folder).glob(f"arm={arm},seed=*"))] for arm in arms
    )
    print(compare(after, before))
