"""Sweeps and names as a user meets them: paths with special characters, folders, failures, and what a job returns."""

import json
from typing import ClassVar

import pytest
from hydra.experimental.callback import Callback

from leap_exp.cli import run as run_command
from tests.e2e.test_command_line import TOY, leap  # noqa: F401 - leap is a fixture

QUICK = (
    *(argument for argument in TOY if not argument.startswith(("rounds", "student"))),
    "rounds=0",
    "student=random",
)


def runs(folder):
    """The run folders below ``folder``, by path."""
    return sorted(str(path.parent.relative_to(folder)) for path in folder.rglob("summary.json"))


class Returned(Callback):
    """A callback of Hydra that keeps what jobs return."""

    values: ClassVar[list[object]] = []

    def on_job_end(self, config, job_return, **keywords):
        Returned.values.append(job_return.return_value)


@pytest.fixture
def returned():
    Returned.values.clear()
    return Returned.values


@pytest.mark.parametrize("folder", ["privilege=p25,seed=0", "my run (1)", "o'brien", "naïve=[x]", "a,b"])
def test_a_path_with_special_characters_is_taken_as_it_is(folder, leap, tmp_path):  # noqa: F811 - the fixture
    run_dir = f"sweep/{folder}"
    (tmp_path / run_dir).mkdir(parents=True)
    assert leap(*TOY, f"run_dir={run_dir}")[0] == 0
    assert leap(*TOY, "seed=1", f"pi_0={run_dir}/round_000", "run_dir=other")[0] == 0
    assert (tmp_path / "other" / "round_000").resolve() == tmp_path / run_dir / "round_000"
    code, _, _ = leap(f"{run_dir}/round_001", "tracker=jsonl", "run_dir=evaluated", command="eval")
    assert code == 0
    assert leap("-m", *TOY, "seed=1", f"pi_0={run_dir}/round_000", "run_dir=again")[0] == 0


def test_a_new_path_of_a_sweeps_run_is_taken_as_it_is(leap, tmp_path):  # noqa: F811
    assert leap(*QUICK, "run_dir=new/privilege=p25,seed=0")[0] == 0
    assert runs(tmp_path) == ["new/privilege=p25,seed=0"]
    code, _, err = leap("new/privilege=p25,seed=1/round_000", command="eval")
    assert code == 2
    assert "new/privilege=p25,seed=1/round_000 is not a finished round of a run" in err


def test_paths_that_a_sweep_cannot_tell_apart_are_refused_with_the_way_out(leap):  # noqa: F811
    code, _, err = leap("-m", *TOY, "pi_0=one/seed=0/round_000,two/seed=0/round_000", "run_dir=sweep")
    assert code == 2
    assert """quote each value with special characters, as in "pi_0='VALUE','VALUE'\"""" in err


def test_values_with_slashes_do_not_nest_folders(leap, tmp_path):  # noqa: F811
    values = ("", "x/")
    for value in values:
        (tmp_path / value).mkdir(exist_ok=True)
        assert leap(*TOY, f"run_dir={value}first")[0] == 0
    sources = [f"{value}first/round_000/trajectories.jsonl" for value in values]
    assert leap("-m", *TOY, f"demonstrations.source={','.join(sources)}", "run_dir=sweep")[0] == 0
    folders = runs(tmp_path / "sweep")
    assert len(folders) == len(set(folders)) == 2
    assert all("/" not in folder and folder.startswith("demonstrations.source=") for folder in folders)


def test_long_values_give_short_folders(leap, tmp_path):  # noqa: F811
    files = [f"{'x' * 200}{number}" for number in (1, 2)]
    for file in files:
        (tmp_path / file).touch()
    assert leap("-m", *QUICK, f"demonstrations.source={','.join(files)}", "run_dir=sweep")[0] == 0
    folders = runs(tmp_path / "sweep")
    assert [len(folder) for folder in folders] == [128, 128]


@pytest.mark.parametrize(
    ("former", "settings", "varied", "expected"),
    [
        (".", ["seed=0"], ["seed=0"], ["."]),
        (
            "demonstrations.source=x/file",
            ["demonstrations.source=x/file"],
            ["demonstrations.source=expert,x/file"],
            ["demonstrations.source=expert", "demonstrations.source=x/file"],
        ),
    ],
)
def test_sweep_folders_of_older_versions_are_resumed(former, settings, varied, expected, leap, tmp_path):  # noqa: F811
    """Values with slashes made nested folders, and a sweep of one run used the folder of the sweep."""
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "file").touch()
    assert leap(*QUICK, *settings, f"run_dir=sweep/{former}")[0] == 0
    before = (tmp_path / "sweep" / former / "metrics.jsonl").stat().st_mtime_ns
    assert leap("-m", *QUICK, *varied, "run_dir=sweep")[0] == 0
    assert runs(tmp_path / "sweep") == expected
    assert (tmp_path / "sweep" / former / "metrics.jsonl").stat().st_mtime_ns == before


def test_a_sweep_of_one_run_has_a_folder_of_its_own(leap, tmp_path):  # noqa: F811
    assert leap("-m", "seed=4", *QUICK, "run_dir=sweep")[0] == 0
    (folder,) = runs(tmp_path / "sweep")
    assert "seed=4" in folder.split(",")
    assert "run_dir" not in folder
    assert (tmp_path / "sweep" / "report.html").exists()
    assert leap("-m", "seed=5", *QUICK, "run_dir=sweep")[0] == 0
    assert len(runs(tmp_path / "sweep")) == 2


@pytest.mark.parametrize(
    "swept", ["experiment=alfworld_builtin,smoke", "experiment=glob(alf*)", "experiment=mine,smoke"]
)
def test_a_sweep_over_files_with_sweep_parameters_is_refused(swept, leap, tmp_path):  # noqa: F811
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    text = "# @package _global_\ndefaults:\n  - alfworld_builtin\nrounds: 0\n"
    (tmp_path / "conf" / "experiment" / "mine.yaml").write_text(text)
    code, _, err = leap("-m", swept, *QUICK, "run_dir=sweep", "--config-dir", "conf")
    assert code == 2
    assert f"error: {swept} would drop the sweep over seed=0,1,2 in experiment=" in err
    assert "add seed=0,1,2 to the command" in err
    assert not (tmp_path / "sweep").exists()


def test_a_sweep_over_such_files_runs_with_the_parameters_in_the_command(leap, tmp_path):  # noqa: F811
    assert leap("-m", "experiment=alfworld_builtin,self_improvement", *QUICK, "seed=0,1", "run_dir=sweep")[0] == 0
    assert len(runs(tmp_path / "sweep")) == 4


def test_every_failing_run_of_a_sweep_is_reported_at_once_and_at_the_end(leap, tmp_path):  # noqa: F811
    toy = [argument for argument in QUICK if not argument.startswith("evaluation.tasks")]
    code, _, err = leap("-m", *toy, "run_dir=sweep", "evaluation.tasks=100,12,200")
    assert code == 1
    first, second = (f"evaluation.tasks={n}: evaluation.tasks={n}, but split" for n in (100, 200))
    assert f"error: {first}" in err
    at_once, at_the_end = err.split("Runs of the sweep that failed:")
    for text in (at_once, at_the_end):
        assert text.count(first) == text.count(second) == 1
    assert runs(tmp_path / "sweep") == ["evaluation.tasks=12"]


def test_a_crash_in_a_sweep_does_not_stop_the_others_either(leap, tmp_path, monkeypatch):  # noqa: F811
    real = run_command.build

    def build(config):
        if config.seed == 0:
            raise ZeroDivisionError("a mistake in the code")
        return real(config)

    monkeypatch.setattr(run_command, "build", build)
    code, _, err = leap("-m", *QUICK, "run_dir=sweep", "seed=0,1")
    assert code == 1
    assert "Traceback" in err
    assert err.endswith("Runs of the sweep that failed:\n  seed=0: ZeroDivisionError: a mistake in the code\n")
    assert runs(tmp_path / "sweep") == ["seed=1"]


def test_a_job_returns_its_final_success_rate_for_sweepers_that_optimise(leap, tmp_path, returned):  # noqa: F811
    callback = f"+hydra.callbacks.returned._target_={__name__}.Returned"
    assert leap("-m", *TOY, callback, "run_dir=sweep", "rounds=1,2")[0] == 0
    expected = [
        json.loads((tmp_path / "sweep" / f"rounds={n}" / "summary.json").read_text())["rounds"][-1]["success_rate"]
        for n in (1, 2)
    ]
    assert returned == expected
    assert {type(value) for value in returned} == {float}
    returned.clear()
    assert leap(*QUICK, callback, "run_dir=evaluated")[0] == 0
    (entry,) = json.loads((tmp_path / "evaluated" / "summary.json").read_text())["rounds"]
    assert returned == [entry["success_rate"]]


@pytest.mark.parametrize("arguments", [(), ("-m", "seed=0,1"), ("-m", "seed=0")])
@pytest.mark.parametrize("place", ["file/run", "/proc/run"])
def test_a_run_folder_that_cannot_be_made_is_one_error(arguments, place, leap, tmp_path):  # noqa: F811
    (tmp_path / "file").touch()
    code, _, err = leap(*arguments, *QUICK, f"run_dir={place}")
    assert code == 1
    assert err.startswith("error: Cannot make the folder ")
    assert err.endswith("Choose another run_dir.\n")
    assert err.count("\n") == 1


def test_own_files_are_listed_in_messages(leap, tmp_path):  # noqa: F811
    for group, name in (("student", "my_student"), ("experiment", "my_experiment")):
        (tmp_path / "conf" / group).mkdir(parents=True)
        (tmp_path / "conf" / group / f"{name}.yaml").write_text("# @package _global_\n# Mine.\n")
        for option in (("--config-dir", "conf"), ("--config-dir=conf",), ("-cd", "conf")):
            _, out, _ = leap(*option, "--help")
            assert f"  {name:<22}Mine." in out
            code, _, err = leap(*option, f"{group}=none_of_them")
            assert code == 2
            assert f"There is no {group}=none_of_them; choose one of: " in err
            assert f" {name}" in err


def test_arms_of_an_experiment_share_round_0_and_are_compared(leap, tmp_path):  # noqa: F811
    arms = "default,changed,recovery,teacher_share_linear,expert_iteration,length_control"
    code, _, err = leap(
        "-m", *TOY, f"arm={arms}", "seed=0,1", "pi_0=sweep/pi_0", "run_dir=sweep", "correct.max_score=1"
    )
    assert (code, err) == (0, "")
    assert runs(tmp_path / "sweep") == sorted(f"arm={arm},seed={seed}" for arm in arms.split(",") for seed in (0, 1))
    results = json.loads((tmp_path / "sweep" / "results.json").read_text())
    assert results["keys"] == ["arm"]
    assert {arm["label"] for arm in results["arms"]} == set(arms.split(","))
    assert {arm["label"]: arm["labels"] for arm in results["arms"]}["length_control"] == 0
    # The same settings under no name resume the run.
    run_dir = tmp_path / "sweep" / "arm=default,seed=0"
    assert leap(*TOY, "pi_0=sweep/pi_0", f"run_dir={run_dir}", "correct.max_score=1")[0] == 0


def test_the_control_for_length_stands_beside_a_sweep_that_is_finished(leap, tmp_path):  # noqa: F811
    assert leap("-m", *TOY, "seed=0,1", "run_dir=sweep")[0] == 0
    code, _, _ = leap(
        "-m", *TOY, "arm=length_control", "seed=0,1", "run_dir=sweep/length_control",
        "pi_0=sweep/seed=${seed}/round_000",
    )  # fmt: skip
    assert code == 0
    assert leap("sweep", command="report")[0] == 0
    results = json.loads((tmp_path / "sweep" / "results.json").read_text())
    assert [arm["label"] for arm in results["arms"]] == ["default", "length_control"]
