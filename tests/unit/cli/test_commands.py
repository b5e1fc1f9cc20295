"""The command lines: what they share, and the commands that environments bring."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Annotated

import pytest
import typer

from leap_exp.cli import bench, check, commands, play
from leap_exp.cli.console import result_table
from leap_exp.cli.main import COMMANDS, main
from leap_exp.core.errors import DataError


def check_shelf(books: Annotated[int, typer.Option(help="Number of books.")] = 3) -> int:
    """Compare the shelf with another one."""
    if books < 0:
        raise DataError("A shelf cannot have -1 books.")
    print(f"{books} differences")
    return int(books > 0)


def bench_shelf() -> dict[str, object]:
    """Measure the shelf."""
    print("measuring")
    return {"benchmark": "shelf", "books_per_second": 7}


@pytest.fixture(autouse=True)
def shelf(monkeypatch):
    """Two environments: ``shelf`` with commands, and ``bare`` without any."""
    module = SimpleNamespace(check=check_shelf, bench=bench_shelf)
    monkeypatch.setitem(sys.modules, "shelf_commands", module)
    classes = {"bare": SimpleNamespace(commands=""), "shelf": SimpleNamespace(commands="shelf_commands")}
    monkeypatch.setattr(commands, "settings_classes", lambda group: classes)
    return classes


@pytest.mark.parametrize(("books", "status"), [(0, 0), (2, 1)])
def test_the_result_of_a_check_is_the_exit_status(books, status, capsys):
    assert check.main(["shelf", "--books", str(books)]) == status
    assert capsys.readouterr().out == f"{books} differences\n"


def test_the_last_line_of_a_benchmark_is_json(capsys):
    assert bench.main(["shelf"]) == 0
    first, last = capsys.readouterr().out.splitlines()
    assert first == "measuring"
    assert json.loads(last) == {"benchmark": "shelf", "books_per_second": 7}


def test_an_error_is_one_line(capsys):
    assert check.main(["shelf", "--books=-1"]) == 1
    assert capsys.readouterr().err == "error: A shelf cannot have -1 books.\n"


def test_the_help_lists_the_environments_with_this_command(capsys):
    assert check.main(["--help"]) == 0
    out = capsys.readouterr().out
    assert "Compare the shelf with another one." in out
    assert "bare" not in out
    assert bench.main(["--help"]) == 0
    assert "leakage" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["nowhere"], ["bare"], ["shelf", "--bokos=3"], ["shelf", "--books=many"]])
def test_wrong_arguments_give_status_2(arguments, capsys):
    assert check.main(arguments) == 2
    assert arguments[-1].partition("=")[0] in capsys.readouterr().err


def test_a_command_that_no_environment_has_is_unknown(capsys):
    assert play.main(["shelf"]) == 2
    assert "No such command 'shelf'" in capsys.readouterr().err


def test_commands_that_cannot_be_imported_are_named(shelf, capsys):
    shelf["bare"].commands = "nowhere.commands"
    assert check.main(["bare"]) == 1
    assert capsys.readouterr().err.startswith("error: The commands of bare (nowhere.commands) cannot be imported: ")
    assert check.main(["shelf", "--books=0"]) == 0


def test_the_first_help_is_quick_because_it_imports_nothing_heavy():
    code = "from leap_exp.cli.main import main\ntry:\n    main(['--help'])\nexcept SystemExit: print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", f"import sys\n{code}"], capture_output=True, text=True, check=True)
    assert set(COMMANDS) <= set(shown.stdout.split())
    assert not {"hydra", "torch", "transformers", "numpy"} & set(shown.stdout.split())


@pytest.mark.parametrize(
    "arguments", [["-m", "leap_exp"], ["-m", "leap_exp.data"], ["-c", "from leap_exp.cli.main import main; main()"]]
)
def test_output_that_nobody_reads_is_no_error(arguments):
    read, write = os.pipe()
    os.close(read)
    process = subprocess.run([sys.executable, *arguments, "--help"], stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert process.stderr == b""


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("check", "bench", "play")])
def test_every_command_has_its_own_help(name, capsys):
    with pytest.raises(SystemExit) as leaving:
        main([name, "--help"])
    assert not leaving.value.code
    assert f"leap {name}" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["data", "check", "bench", "play", "report"])
def test_the_modules_are_commands_too(name):
    shown = subprocess.run(
        [sys.executable, "-m", f"leap_exp.{name}", "--help"], capture_output=True, text=True, check=False
    )
    assert f"Usage: leap {name}" in shown.stdout, shown.stderr


def test_the_table_counts_cut_off_answers_only_if_there_are_any():
    entry = {
        "round": 0,
        "split": "valid_unseen",
        "panel_hash": "0" * 64,
        "n": 2,
        "unscored": 0,
        "success_rate": 0.5,
        "success_ci95": (0.1, 0.9),
        "score_mean": 0.5,
        "steps_mean": 3.0,
        "invalid_action_rate": 0.2,
    }
    shown = [result_table([entry, {**entry, **cut}], trained=True) for cut in ({}, {"cut_off_answers": 7})]
    assert shown[0].caption is None
    assert shown[1].caption == "Answers cut off before their action was complete: 7 (round 0)"
