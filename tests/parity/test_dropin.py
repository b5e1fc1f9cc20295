"""Samples of ``leap check dropin``: the drop-ins beside the originals, and under the originals' own code."""

import random

import pytest

from leap_exp.cli import check
from leap_exp.envs.alfworld.config import AlfworldConfig
from leap_exp.envs.alfworld.library import FolderLibrary, open_library
from leap_exp.envs.intercode_bash.engine.sandbox import BaseKind
from leap_exp.interfaces import alfworld_batch, alfworld_check, alfworld_game
from leap_exp.interfaces.alfworld_check import compare_environments, configuration, write_games
from leap_exp.interfaces.intercode_check import compare_with_package
from tests.support.alfworld_games import needs_archive, official_texts
from tests.support.sandboxes import skip_without_sandboxes
from tests.support.webshop_files import FOLDER, GOLDEN, needs_files

INTERCODE = FOLDER.parent / "intercode"


@pytest.fixture(scope="module")
def games(tmp_path_factory):
    pytest.importorskip("textworld", reason="the original comes with the extra alfworld")
    folder = tmp_path_factory.mktemp("games")
    counts = {"train": 2, "valid_seen": 1, "valid_unseen": 1}
    write_games(open_library(AlfworldConfig(builtin_counts=counts)), folder, limit=None)
    return folder


def _differences(config, **arguments):
    reports = list(compare_environments(config, seed=1, **arguments))
    assert sum(report.commands for report in reports) > 0
    return [line for report in reports for line in report.differences]


@pytest.mark.parametrize(
    ("expert", "method", "shuffle", "train_eval", "batch_size"),
    [
        ("handcoded", "dagger", False, "train", 1),
        ("handcoded", "dagger", True, "train", 1),
        ("planner", "dagger", False, "train", 2),
        ("handcoded", "dqn", False, "train", 2),
        ("handcoded", "dagger", True, "eval_in_distribution", 1),
    ],
)
def test_built_in_games_give_the_same_transcripts(games, expert, method, shuffle, train_eval, batch_size):
    config = configuration(games, expert=expert, steps=14, method=method, shuffle=shuffle)
    assert _differences(config, games=2, steps=14, batch_size=batch_size, train_eval=train_eval) == []


@needs_archive
def test_official_games_give_the_same_transcripts(tmp_path):
    pytest.importorskip("textworld", reason="the original comes with the extra alfworld")
    for number, (_, text) in enumerate(official_texts(2)):
        place = tmp_path / "source" / "train" / str(number)
        place.mkdir(parents=True)
        (place / "game.tw-pddl").write_text(text)
    write_games(FolderLibrary(tmp_path / "source"), tmp_path / "games", limit=None)
    config = configuration(tmp_path / "games", expert="handcoded", steps=14, shuffle=True)
    assert _differences(config, games=2, steps=14) == []


def test_a_wrong_drop_in_is_found(games, monkeypatch):
    monkeypatch.setattr(alfworld_game, "tracked_facts", lambda world: [])
    config = configuration(games, expert="handcoded", steps=3)
    (line,) = _differences_of_one_game(config)
    assert "facts is" in line


def _differences_of_one_game(config):
    return [line for report in compare_environments(config, games=1, steps=3, seed=1) for line in report.differences]


class _Recorder:
    """An environment that keeps what its methods return."""

    def __init__(self, environment):
        self._environment = environment
        self.results = []

    def seed(self, seed):
        return self._environment.seed(seed)

    def reset(self):
        self.results.append(self._environment.reset())
        return self.results[-1]

    def step(self, commands):
        self.results.append((commands, self._environment.step(commands)))
        return self.results[-1][1]


@pytest.mark.parametrize(("agent", "method"), [("TextDAggerAgent", "dagger"), ("TextDQNAgent", "dqn")])
def test_alfworlds_own_agents_and_evaluation_see_the_same(games, agent, method):
    from alfworld.agents import eval as evaluation
    from alfworld.agents.environment import get_environment

    from tests.support.alfworld_agents import agent_settings, make_agent

    config = configuration(games, expert="handcoded", steps=5, method=method)
    config |= agent_settings(method, steps=5, batch_size=2)
    seen, results = [], []
    for find in (get_environment, alfworld_batch.get_environment):
        environment = _Recorder(find("AlfredTWEnv")(config, train_eval="eval_in_distribution").init_env(batch_size=2))
        results.append(getattr(evaluation, f"evaluate_{method}")(environment, make_agent(agent, config, seed=3), 2))
        seen.append(environment.results)
    assert len(seen[0]) > 4
    assert seen[0] == seen[1]
    assert results[0] == results[1]


@pytest.mark.parametrize("wrapped_by", ["textworld.gym", "textworld.start"])
def test_wrappers_work_in_textworlds_own_environments(games, wrapped_by):
    import textworld
    import textworld.gym
    from alfworld.agents.environment import alfred_tw_env as original

    (file, *_) = alfworld_batch.AlfredTWEnv(configuration(games, expert="planner", steps=9)).game_files
    seen = []
    for module in (original, alfworld_batch):
        infos = textworld.EnvInfos(won=True, admissible_commands=True, score=True, extras=["gamefile", "walkthrough"])
        wrappers = [module.AlfredDemangler(), module.AlfredInfos]
        if wrapped_by == "textworld.gym":
            name = textworld.gym.register_games([file], infos, batch_size=1, max_episode_steps=4, wrappers=wrappers)
            environment = textworld.gym.make(name)
            shown = [environment.reset(), *(environment.step([command]) for command in ("look", "help", "go", "look"))]
        else:
            environment = textworld.start(file, infos, wrappers=wrappers)
            names = ("feedback", "won", "admissible_commands", "last_command", "extra.gamefile", "extra.walkthrough")
            states = [environment.reset(), *(environment.step(command)[0] for command in ("look", " help "))]
            shown = [{name: state.get(name) for name in names} for state in states]
        seen.append(shown)
    assert seen[0] == seen[1]


def test_the_originals_expert_reads_the_drop_ins_states(games):
    from alfworld.agents.environment import alfred_tw_env as original

    (file, *_) = alfworld_batch.AlfredTWEnv(configuration(games, expert="planner", steps=9)).game_files
    plans = []
    for expert in (original.AlfredExpert, alfworld_batch.AlfredExpert):
        random.seed(0)
        environment = expert(alfworld_batch.AlfredInfos(alfworld_batch.AlfredDemangler()))
        environment.load(file)
        state = environment.reset()
        plans.append([state["extra.expert_plan"]])
        for _ in range(20):
            state, *_ = environment.step(state["extra.expert_plan"][0])
            plans[-1].append(state["extra.expert_plan"])
    assert plans[0] == plans[1]


@needs_files
def test_recorded_shop_episodes_are_reproduced(tmp_path, capsys):
    golden = tmp_path / "golden"
    golden.mkdir()
    for name in ("human_goals", "human_text_rich"):
        (golden / f"{name}.json.gz").symlink_to(GOLDEN / f"{name}.json.gz")
    assert check.main(["dropin", "--golden", str(golden), "--from", str(FOLDER)]) == 0
    assert capsys.readouterr().out.startswith("WebAgentTextEnv: 0 differences in 60 episodes, 521 steps")


def test_check_counts_differences(capsys, monkeypatch):
    pytest.importorskip("textworld", reason="the original comes with the extra alfworld")
    assert check.main(["dropin", "--games", "builtin", "--limit", "1", "--steps", "3"]) == 0
    # What other tests have set up may log there too.
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("AlfredTWEnv")] == [
        "AlfredTWEnv (train, handcoded expert): 0 differences in 1 games, 3 commands",
        "AlfredTWEnv (train, handcoded expert, shuffled names): 0 differences in 1 games, 3 commands",
        "AlfredTWEnv (evaluation, batches of 4): 0 differences in 4 games, 12 commands",
    ]
    monkeypatch.setattr(alfworld_check, "_typed", lambda value: object())
    assert check.main(["dropin", "--games", "builtin", "--limit", "1", "--steps", "3"]) == 1


def test_check_asks_for_something_to_compare(capsys):
    assert check.main(["dropin"]) == 1
    assert "--games, --golden and --runs" in capsys.readouterr().err


@pytest.mark.skipif(not INTERCODE.exists(), reason=f"needs the logged runs in {INTERCODE}")
def test_logged_shell_actions_show_the_same_as_in_the_original(tmp_path, monkeypatch):
    pytest.importorskip("intercode", reason="the original is the package intercode-bench")
    monkeypatch.setenv("LEAP_DATA", str(tmp_path))
    skip_without_sandboxes()
    actions = list(compare_with_package(INTERCODE / "reference_runs", INTERCODE, limit=1, base=BaseKind.HOST))
    assert len(actions) > 3
    assert [action for action in actions if action.differences] == []
