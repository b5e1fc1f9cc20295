"""``python -m leap_exp.report FOLDER``: write the report of a run or of a sweep."""

import argparse
import sys
from pathlib import Path

from leap_exp.core.errors import LeapError
from leap_exp.report import write_report


def main() -> int:
    """Write the report and print its path; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m leap_exp.report", description=__doc__)
    parser.add_argument("folder", type=Path, help="a run folder, or a folder that holds several (a sweep)")
    try:
        path = write_report(parser.parse_args().folder)
    except LeapError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1
    sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
