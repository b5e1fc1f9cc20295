"""Every command ends silently when the reader of its output has gone, as with ``| head``."""

import os
import subprocess
import sys

import pytest

from tests.e2e.test_command_line import ROOT, TOY

RUN = ("tests.support.toy_main", *TOY, "run_dir={folder}/run")
COMMANDS = (
    ("leap_exp", "--help"),
    ("leap_exp", "--cfg", "job"),
    ("leap_exp", "--info", "all"),
    ("leap_exp.data", "list"),
    ("leap_exp.bench", "--help"),
    ("leap_exp.play", "alfworld", "--help"),
    ("leap_exp.report", "nowhere"),
    RUN,
    (RUN[0], "-m", *RUN[1:], "seed=1,2"),
)


@pytest.mark.parametrize(
    ("command", "with_errors"),
    [*((command, False) for command in COMMANDS), (RUN, True), (("leap_exp", "seed"), True)],
)
def test_a_reader_that_has_gone_is_no_error(command, with_errors, tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", *(word.format(folder=tmp_path) for word in command)],
        cwd=ROOT,
        stdout=writing,
        stderr=writing if with_errors else subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    errors = done.stderr or ""
    assert "BrokenPipe" not in errors
    assert "Traceback" not in errors
    assert errors == "" or errors.startswith("error: ")
