"""``python -m leap_exp.data``: the same as ``leap data``."""

import sys

from leap_exp.cli.main import main

if __name__ == "__main__":
    main(["data", *sys.argv[1:]])
