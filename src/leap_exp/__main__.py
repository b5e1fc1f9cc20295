"""``python -m leap_exp``: the same as ``leap run``."""

import sys

from leap_exp.cli.main import main

if __name__ == "__main__":
    main(["run", *sys.argv[1:]])
