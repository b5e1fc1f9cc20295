"""A search with Optuna: what trials return, and failed, pruned and interrupted ones."""

import json
import os
import signal

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from leap_exp.cli import run as run_command
from leap_exp.config.trials import open_study
from leap_exp.core.errors import EnvError
from leap_exp.runs.jobs import JobState, read_jobs
from tests.e2e.test_command_line import TOY, leap  # noqa: F401 - leap is a fixture
from tests.e2e.test_launchers import LOCAL, start, wait_for
from tests.e2e.test_sweeps import QUICK, runs

optuna = pytest.importorskip("optuna", reason="the extra optuna is not installed")

SEARCH = ("-m", "hydra/sweeper=optuna", "run_dir=sweep")


def study(folder):
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(folder / "optuna.log")))
    return optuna.load_study(study_name="leap", storage=storage)


def plan(folder, *settings, direction="maximize"):
    """Let a new study begin with these settings."""
    folder.mkdir()
    made = open_study(str(folder / "optuna.log"), direction=direction)
    for each in settings:
        made.enqueue_trial(each)


def states(folder):
    return [trial.state.name for trial in study(folder).trials]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("seed=0,1", "CategoricalDistribution(choices=('0', '1'))"),
        ("privilege=choice(none,p25)", "CategoricalDistribution(choices=('none', 'p25'))"),
        ("seed=range(1,6,2)", "IntDistribution(high=5, log=False, low=1, step=2)"),
        ("trainer.epochs=int(interval(1,4))", "IntDistribution(high=4, log=False, low=1, step=1)"),
        ("x=tag(log,interval(1e-5,1e-3))", "FloatDistribution(high=0.001, log=True, low=1e-05, step=None)"),
    ],
)
def test_values_are_drawn_as_hydra_describes_them(given, expected):
    from hydra_plugins.leap_exp_plugins.optuna import _distribution

    assert str(_distribution(OverridesParser.create().parse_override(given))) == expected


def test_trials_return_the_final_success_rate_and_the_best_is_written(leap, tmp_path):  # noqa: F811 - the fixture
    code, out, _ = leap(*SEARCH, *TOY, "hydra.sweeper.n_trials=4", "rollouts.tasks=range(6,13)", "seed=0,1")
    assert code == 0
    trials = study(tmp_path / "sweep").trials
    assert len(trials) == 4
    for trial in trials:
        name = ",".join(f"{key}={value}" for key, value in sorted(trial.params.items()))
        rounds = json.loads((tmp_path / "sweep" / name / "summary.json").read_text())["rounds"]
        assert trial.value == rounds[-1]["success_rate"]
        # A run that two trials share reports its rounds to the first one.
        assert trial.intermediate_values in ({}, {entry["round"]: entry["success_rate"] for entry in rounds})
    assert trials[0].intermediate_values
    best = json.loads((tmp_path / "sweep" / "optuna.json").read_text())
    assert best["best_value"] == max(trial.value for trial in trials)
    assert best["trials"] == {"COMPLETE": 4, "PRUNED": 0, "FAIL": 0}
    assert f"Best of 4 trials: {best['best_value']:.4g} with rollouts.tasks=" in out


def test_given_again_only_missing_trials_run(leap, tmp_path):  # noqa: F811
    search = (*SEARCH, *QUICK, "evaluation.panel_seed=choice(0,1,2,3,4,5)")
    assert leap(*search, "hydra.sweeper.n_trials=2")[0] == 0
    first = [trial.params for trial in study(tmp_path / "sweep").trials]
    code, out, _ = leap(*search, "hydra.sweeper.n_trials=2")
    assert (code, "Run folder" in out) == (0, False)
    assert leap(*search, "hydra.sweeper.n_trials=3")[0] == 0
    assert [trial.params for trial in study(tmp_path / "sweep").trials][:2] == first
    assert states(tmp_path / "sweep") == ["COMPLETE"] * 3


@pytest.mark.parametrize(("objective", "direction"), [("steps_mean", "minimize"), ("evaluate/n_count", "maximize")])
def test_another_objective_is_optimised(objective, direction, leap, tmp_path):  # noqa: F811
    search = (*SEARCH, *QUICK, f"objective={objective}", f"hydra.sweeper.direction={direction}")
    assert leap(*search, "hydra.sweeper.n_trials=2", "evaluation.tasks=8,12")[0] == 0
    for trial in study(tmp_path / "sweep").trials:
        folder = tmp_path / "sweep" / f"evaluation.tasks={trial.params['evaluation.tasks']}"
        (entry,) = json.loads((folder / "summary.json").read_text())["rounds"]
        assert trial.value == (entry["steps_mean"] if objective == "steps_mean" else entry["n"])


def test_an_unknown_objective_is_refused_with_the_choices(leap):  # noqa: F811
    code, _, err = leap(*QUICK, "objective=sucess_rate", "run_dir=here")
    assert code == 1
    assert "objective=sucess_rate is no figure of the last round; choose one of: " in err
    assert "success_rate" in err


def test_a_failed_trial_is_told_and_repeated_by_the_next_command(leap, tmp_path, monkeypatch):  # noqa: F811
    real = run_command.build
    broken = True

    def build(config):
        if broken and config.seed == 1:
            raise EnvError("the environment is broken")
        return real(config)

    monkeypatch.setattr(run_command, "build", build)
    plan(tmp_path / "sweep", {"seed": "1"}, {"seed": "0"})
    search = (*SEARCH, *QUICK, "hydra.sweeper.n_trials=2", "seed=0,1")
    code, _, err = leap(*search)
    assert code == 1
    assert "Runs of the sweep that failed:\n  seed=1: the environment is broken" in err
    assert states(tmp_path / "sweep") == ["FAIL", "COMPLETE"]
    broken = False
    assert leap(*search)[0] == 0
    trials = study(tmp_path / "sweep").trials
    assert [trial.state.name for trial in trials] == ["FAIL", "COMPLETE", "COMPLETE"]
    assert trials[2].params == {"seed": "1"}


def test_a_sampler_that_has_tried_everything_ends_the_search(leap, tmp_path):  # noqa: F811
    sampler = "hydra.sweeper.sampler={_target_: optuna.samplers.BruteForceSampler, seed: 0}"
    assert leap(*SEARCH, *QUICK, "hydra.sweeper.n_trials=9", "seed=0,1,2", sampler)[0] == 0
    assert len(runs(tmp_path / "sweep")) == 3


def test_a_trial_that_does_worse_than_others_is_pruned(leap, tmp_path):  # noqa: F811
    name = "hydra.sweeper.pruner"
    pruner = (f"{name}._target_=optuna.pruners.MedianPruner", f"+{name}.n_startup_trials=1")
    plan(tmp_path / "sweep", {"env.max_steps_eval": "1"}, {"env.max_steps_eval": "5"}, direction="minimize")
    fewest_steps = ("objective=steps_mean", "hydra.sweeper.direction=minimize", "env.max_steps_eval=1,5")
    code, out, err = leap(*SEARCH, *TOY, *fewest_steps, *pruner, "hydra.sweeper.n_trials=2")
    assert (code, err) == (0, "")
    found = {trial.params["env.max_steps_eval"]: trial.state.name for trial in study(tmp_path / "sweep").trials}
    assert found == {"1": "COMPLETE", "5": "PRUNED"}
    assert "env.max_steps_eval=5: pruned after round 0" in out
    pruned = {job.name: job for job in read_jobs(tmp_path / "sweep")}["env.max_steps_eval=5"]
    assert (pruned.state, pruned.finished_rounds, pruned.rounds) == (JobState.PRUNED, 1, 2)


def test_an_interrupted_trial_goes_on(tmp_path):
    pytest.importorskip("submitit")
    search = ("run", *SEARCH, *LOCAL, *TOY, "hydra.sweeper.n_trials=2", "hydra.sweeper.n_jobs=2", "seed=0,1,2,3")
    folder = tmp_path / "sweep"
    process = start(tmp_path, *search, seconds="0.3")
    wait_for(lambda: len(list(folder.glob("seed=*/round_000/student"))) == 2, process)
    process.kill()
    process.wait()
    for note in folder.glob("seed=*/job.json"):
        os.kill(json.loads(note.read_text())["process"], signal.SIGKILL)
    assert states(folder) == ["RUNNING", "RUNNING"]
    again = start(tmp_path, *search)
    _, err = again.communicate(timeout=200)
    assert again.returncode == 0, err
    assert states(folder) == ["COMPLETE", "COMPLETE"]
    assert len(runs(folder)) == 2
