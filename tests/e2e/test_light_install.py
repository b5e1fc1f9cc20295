"""Installed from the wheel without extras, the environments work; what needs the training stack says how to get it."""

import importlib.metadata
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from leap_exp.core.extras import TRAINING_PACKAGES

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
WAY_OUT = 'is not installed: pip install "leap-exp[train]".'


@pytest.fixture(scope="module")
def light(tmp_path_factory):
    """The programs of a new virtual environment with the wheel and what it needs, Gymnasium included.

    The packages are linked from this environment, so that nothing is downloaded.
    """
    folder = tmp_path_factory.mktemp("light")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=ROOT, check=True)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv")
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    programs = folder / "venv" / "bin"
    pip = [sys.executable, "-m", "pip", "--python", str(programs / "python"), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--no-index", "--no-deps", str(wheel)], env=clean(), check=True)
    (metadata,) = site.glob("leap_exp-*.dist-info")
    for name in needed(importlib.metadata.PathDistribution(metadata).requires, {"gymnasium"}):
        link(name, site)
    return programs


def needed(requirements, extras):
    """The names of all distributions that ``requirements`` lead to."""
    found = set()
    waiting = [(requirements, extras)]
    while waiting:
        listed, wanted = waiting.pop()
        for need in map(Requirement, listed or ()):
            name = canonicalize_name(need.name)
            if need.marker and not any(need.marker.evaluate({"extra": extra}) for extra in ("", *wanted)):
                continue
            if name not in found:
                found.add(name)
                waiting.append((importlib.metadata.requires(name), need.extras))
    return sorted(found)


def link(name, site):
    distribution = importlib.metadata.distribution(name)
    for top in {Path(file.parts[0]) for file in distribution.files if file.parts[0] not in ("..", "__pycache__")}:
        if not (site / top).exists():
            (site / top).symlink_to(Path(distribution.locate_file(top)))


def clean():
    """The environment variables without those that lead to other installations."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}


def run(program, *arguments, folder):
    """Run a program of the environment outside the checkout."""
    command = [str(program), *arguments]
    return subprocess.run(command, cwd=folder, env=clean(), capture_output=True, text=True, check=False)


def test_nothing_of_the_training_stack_is_needed(light, tmp_path):
    program = f"import importlib.util as u; print([name for name in {TRAINING_PACKAGES} if u.find_spec(name)])"
    assert run(light / "python", "-c", program, folder=tmp_path).stdout == "[]\n"


GAME = """
import gymnasium, leap_exp.interfaces.gymnasium
for name in ("leap/ALFWorld-v0", "leap/WebShop-v0"):
    env = gymnasium.make(name)
    text, info = env.reset(seed=0)
    for _ in range(5):
        text, *_, info = env.step(info["admissible_actions"][0].replace("<query>", "lamp"))
    print(name, bool(text))
"""


def test_games_are_played(light, tmp_path):
    done = run(light / "python", "-c", GAME, folder=tmp_path)
    assert (done.stdout, done.stderr) == ("leap/ALFWorld-v0 True\nleap/WebShop-v0 True\n", "")


@pytest.mark.parametrize(
    "command",
    [
        ("data", "list"),
        ("bench", "--help"),
        ("run", "rounds=0", "student=scripted_expert", "evaluation.tasks=2", "tracker=jsonl"),
    ],
    ids=" ".join,
)
def test_commands_without_models_work(light, tmp_path, command):
    done = run(light / "leap", *command, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("command", "package"),
    [
        (("run", "tracker=jsonl"), "torch"),
        (("run", "--dry-run"), "torch"),
        (("run", "rounds=0", "student=random", "evaluation.tasks=2"), "wandb"),
        (("bench", "engine"), "torch"),
        (("analyse", "."), "scipy"),
    ],
    ids=str,
)
def test_commands_with_models_name_the_extra(light, tmp_path, command, package):
    done = run(light / "leap", *command, folder=tmp_path)
    assert done.returncode in (1, 2)
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.endswith(f"the package {package} {WAY_OUT}\n")
