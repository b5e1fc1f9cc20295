"""The programs on docs/environments_for_everyone.md run as they are written there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import Step, View
from leap_exp.envs.alfworld.config import AlfworldConfig
from tests.support.alfworld_games import needs_archive, official_texts

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "environments_for_everyone.md").read_text(encoding="utf-8")
# The programs below this part need other libraries; tests/plugins has their tests.
PROGRAMS = re.findall(r"^```python\n(.*?)^```", PAGE.partition("\n## verifiers")[0], flags=re.MULTILINE | re.DOTALL)
BUILTIN, OFFICIAL, LOOP, OWN, VECTOR = PROGRAMS


def run(program, *, folder, commands=()):
    """Run a program in ``folder`` with lines to its input."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    lines = "".join(f"{command}\n" for command in commands)
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder, env=environment, input=lines, capture_output=True, text=True, check=False,
    )  # fmt: skip


def winning_commands(config, split, seed):
    """What the oracle does in the game that the seed draws."""
    import gymnasium

    import leap_exp.interfaces.gymnasium  # noqa: F401

    env = gymnasium.make("leap/ALFWorld-v0", games=config.games, split=split)
    _, info = env.reset(seed=seed)
    environment = config.build()
    task = next(task for task in environment.tasks(split) if task.id == info["task"])
    oracle, history = environment.oracle(task), ()
    with environment.open(task, seed=0) as episode:
        while episode.score() < 1:
            view = View(task=task, history=history, observation=episode.observation)
            decision = oracle.decide(view, Disclosure.P100, seed=0)
            history += (Step(observation=view.observation, decision=decision, reward=0.0),)
            episode.step(decision.action)
    return [step.decision.action for step in history]


@pytest.mark.parametrize("program", [BUILTIN, OFFICIAL])
def test_a_game_takes_five_lines(program):
    assert len([line for line in program.splitlines() if line]) == 5


def test_a_built_in_game_is_won(tmp_path):
    commands = winning_commands(AlfworldConfig(), "train", 0)
    done = run(BUILTIN, folder=tmp_path, commands=commands)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Your task is to:" in done.stdout


@needs_archive
def test_a_game_in_the_official_format_is_won(tmp_path):
    for name, text in official_texts(40):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
    commands = winning_commands(AlfworldConfig(games=str(tmp_path / "json_2.1.1")), "valid_unseen", 0)
    done = run(OFFICIAL, folder=tmp_path, commands=commands)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("> ") == len(commands)


def test_the_loop_and_the_vector_environment(tmp_path):
    vector = f"import gymnasium, leap_exp.interfaces.gymnasium\n{VECTOR}\nprint(len(texts))"
    done = run(LOOP, folder=tmp_path), run(vector, folder=tmp_path)
    assert [each.stderr for each in done] == ["", ""]
    assert len(done[0].stdout.splitlines()) == 6
    assert done[1].stdout == "64\n"


def test_an_environment_of_your_own(tmp_path):
    program = f"import gymnasium\n{OWN}\nprint(gymnasium.make('mine/Key-v0').reset(seed=0)[1]['score'])"
    sys_path = f"import sys; sys.path.insert(0, {str(ROOT / 'examples' / 'own_environment')!r})\n"
    done = run(sys_path + program, folder=tmp_path)
    assert (done.stdout, done.stderr) == ("0.0\n", "")
