"""``python -m leap_exp.check``: the same as ``leap check``."""

import sys

from leap_exp.cli.main import main

if __name__ == "__main__":
    main(["check", *sys.argv[1:]])
