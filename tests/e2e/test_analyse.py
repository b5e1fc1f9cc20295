"""The measures of a run and of a sweep by the command line, with a small model in built-in ALFWorld."""

import json
from pathlib import Path

import pytest

from leap_exp.config.finished import FinishedRun
from leap_exp.runs import read_document, read_metrics
from tests.e2e.test_command_line import leap  # noqa: F401 - a fixture

ROUNDS = (
    *("student=tiny", "privilege=p50", "tracker=jsonl", "rounds=1", "demonstrations.count=4", "rollouts.tasks=2"),
    *("probes=1", "evaluation.tasks=2", "env.max_steps_eval=5", "trainer.epochs=1"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("analysed")


def test_a_run_measures_what_it_is_told_and_analyse_the_rest(leap, folder):  # noqa: F811
    run_dir = folder / "seed=0"
    measures = "measures=[distributions,briefing,information,recoverability]"
    code, _, err = leap(*ROUNDS, measures, f"run_dir={run_dir}")
    assert (code, err) == (0, "")
    metrics = read_metrics(run_dir)[1]
    assert metrics["distributions/train_rank_before"] >= 1.0
    assert 0.0 <= metrics["briefing/train_total_variation"] <= 1.0
    assert metrics["briefing/train_kl_nats_per_token"] <= metrics["briefing/train_kl_nats_per_turn"]
    assert 0.0 <= metrics["information/train_floor"] <= 2.0
    assert metrics["recoverability/train_max_steps"] >= metrics["recoverability/train_mean_steps"] >= 0.0
    before = (run_dir / "round_001" / "measures.json").read_text()

    every = "--measures=distributions,briefing,information,recoverability,utility,bound"
    code, out, err = leap(str(run_dir), every, "--rounds=1", command="analyse")
    assert (code, err) == (0, "")
    assert "bound after 1 rounds" in out
    assert (run_dir / "round_001" / "measures.json").read_text() == before
    data = read_document(run_dir / "measures.json")
    (last,) = data["rounds"]
    assert last["round"] == 1
    table = last["realizability"]["train"]
    assert table[0]["steps"] == sum(row["steps"] for row in table[1:])
    assert table[0]["epsilon"] == pytest.approx(metrics["realizability/train_epsilon"])
    assert last["information"]["train"][0]["nats"] == pytest.approx(metrics["information/train_nats"])
    assert -1.0 <= last["utility"]["utility"] <= 1.0
    (bound,) = data["bound"]
    assert bound["teacher_return"] <= 1.0
    assert bound["slack"] == pytest.approx(bound["best_return"] / 5 - bound["right"])


def test_a_sweep_with_a_control_that_corrects_nothing_is_compared(leap, tmp_path):  # noqa: F811
    sweep = ("-m", *(each for each in ROUNDS if each != "privilege=p50"), "privilege=p25,no_correction")
    code, _, err = leap(*sweep, f"pi_0={tmp_path / 'pi_0'}", f"run_dir={tmp_path / 'sweep'}")
    assert (code, err) == (0, "")
    code, _, err = leap(str(tmp_path / "sweep"), command="analyse")
    assert (code, err) == (0, "")
    (control,) = (tmp_path / "sweep").glob("privilege=no_correction*/measures.json")
    cloning, last = read_document(control)["rounds"]
    assert (bool(cloning["realizability"]["train"]), last["realizability"].get("train", [])) == (True, [])
    comparisons = read_document(tmp_path / "sweep" / "measures.json")["comparisons"]
    assert ("p25", "no_correction") in {(each["arm"], each["against"]) for each in comparisons}


def test_a_joint_run_under_a_protocol_is_measured_as_it_was_evaluated(leap, tmp_path):  # noqa: F811
    settings = [each for each in ROUNDS if not each.startswith("env.")]
    joint = ("env=joint", "env.members=[alfworld,webshop]", "evaluation.tasks=1")
    code, _, err = leap(*settings, *joint, "evaluation.protocol=sdar", f"run_dir={tmp_path / 'run'}")
    assert (code, err) == (0, "")
    finished = FinishedRun.read(tmp_path / "run")
    assert finished.step_limit == {"alfworld": 50, "webshop": 15}
    assert finished.panel.hash == finished.run.rounds[0]["panel_hash"]
    played = finished.play(finished.student(1), sees_all=False)
    assert list(played) == list(finished.run.evaluation(1))

    code, _, err = leap(str(tmp_path / "run"), "--rounds=1", command="analyse")
    assert (code, err) == (0, "")
    data = read_document(tmp_path / "run" / "measures.json")
    (bound,) = data["bound"]
    # With its whole history the oracle knows what is true, although students see two steps of it.
    assert bound["teacher_return"] >= 0.5
    assert bound["slack"] == pytest.approx(bound["best_return"] / 50 - bound["right"])
    assert (bound["gamma"], bound["epsilon"]) == (pytest.approx(0.0), pytest.approx(bound["losses"][0]))


def test_a_sweep_gets_its_statistics(leap, folder):  # noqa: F811
    assert leap(*ROUNDS, "seed=1", f"run_dir={folder / 'seed=1'}")[0] == 0
    code, out, err = leap(str(folder), "--measures=", command="analyse")
    assert (code, err) == (0, "")
    assert "nothing can be predicted" in " ".join(out.split())
    data = json.loads((folder / "measures.json").read_text())
    (arm,) = data["arms"].values()
    assert arm["interquartile_mean"]["low"] <= arm["interquartile_mean"]["value"] <= arm["interquartile_mean"]["high"]
    assert "realizability/changed_share" in arm["first_round"]
    assert [each["against"] for each in data["comparisons"]] == ["behaviour cloning"]


def test_what_cannot_be_measured_is_refused_by_name(leap, tmp_path):  # noqa: F811
    code, _, err = leap(str(tmp_path), "--measures=luck", command="analyse")
    assert code == 1
    assert "There is no measure 'luck'; choose of: distributions, briefing" in err
    code, _, err = leap(str(tmp_path), "--rounds=one", command="analyse")
    assert "'one' is not the number of a round" in err
    code, _, err = leap(*ROUNDS, "measures=[luck]", f"run_dir={tmp_path / 'run'}")
    assert code == 2
    assert "measures=['luck'] is not valid" in err
    assert not (Path(tmp_path) / "run" / "round_000").exists()
