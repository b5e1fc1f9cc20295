"""The last round of an arm against another's, paired by task: ``python compare.py SWEEP_FOLDER ARM OTHER_ARM``."""

import sys
from pathlib import Path

from leap_exp.analysis.statistics import compare
from leap_exp.analysis.sweep import read_sweep

if __name__ == "__main__":
    folder, *arms = sys.argv[1:]
    groups = {group.label: group for group in read_sweep(Path(folder)).complete_groups}
    after, before = ([run.scores[-1] for run in groups[arm].runs] for arm in arms)
    print(compare(after, before))
