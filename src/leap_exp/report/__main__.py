"""``python -m leap_exp.report``: the same as ``leap report``."""

import sys

from leap_exp.cli.main import main

if __name__ == "__main__":
    main(["report", *sys.argv[1:]])
