"""``python -m leap_exp.play``: the same as ``leap play``."""

import sys

from leap_exp.cli.main import main

if __name__ == "__main__":
    main(["play", *sys.argv[1:]])
