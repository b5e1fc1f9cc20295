"""``python -m leap_exp.bench``: the same as ``leap bench``."""

import sys

from leap_exp.cli.main import main

if __name__ == "__main__":
    main(["bench", *sys.argv[1:]])
