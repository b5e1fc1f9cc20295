"""A student of several environments beside students of one: on the same tasks, paired by task."""

import json

import pytest

from leap_exp.core.types import Decision, Observation, Step, StopReason, Task, Trajectory
from leap_exp.report import write_report
from leap_exp.runs import write_document, write_records
from leap_exp.stages.evaluate import assess, summary_entry

NAMES = ("alfworld", "webshop")


def evaluation(name, successes, *, joint):
    step = Step(
        observation=Observation(text="Here.", admissible_actions=None),
        decision=Decision(reason="", action="go"),
        reward=0.0,
    )
    return [
        Trajectory(
            task=Task(
                id=f"{name}/{index}", split="test", instruction="go", kind="walk", environment=name if joint else ""
            ),
            policy_id="p",
            seed=0,
            steps=(step,),
            stop=StopReason.DONE,
            score=1.0 if index < successes else 0.25,
        )
        for index in range(8)
    ]


def write_run(folder, name, rounds):
    """Write a run folder whose rounds have the given trajectories on the panel."""
    entries = []
    for index, trajectories in enumerate(rounds):
        place = folder / f"round_{index:03d}"
        (place / "student").mkdir(parents=True)
        write_records(place / "evaluation.jsonl", trajectories, {})
        entry = {"round": index, "split": "test", "panel_hash": name * 12}
        entries.append({**entry, **summary_entry(assess(trajectories))})
    (folder / "config.yaml").write_text(f"env:\n  name: {name}\nseed: 0\nrun_dir: {folder}\n")
    write_document(folder / "provenance.json", {"cores": 2})
    write_document(folder / "summary.json", {"rounds": entries})


@pytest.fixture
def sweep(tmp_path):
    both = [
        [*evaluation("alfworld", a, joint=True), *evaluation("webshop", w, joint=True)] for a, w in ((1, 1), (6, 2))
    ]
    write_run(tmp_path / "env=joint", "joint", both)
    write_run(tmp_path / "env=alfworld", "alfworld", [evaluation("alfworld", count, joint=False) for count in (1, 4)])
    write_run(tmp_path / "env=webshop", "webshop", [evaluation("webshop", count, joint=False) for count in (1, 4)])
    return tmp_path


def test_each_environment_is_compared_with_the_student_that_learns_it_alone(sweep):
    page = write_report(sweep).read_text()
    found = json.loads((sweep / "results.json").read_text())["environments"]
    assert [(each["joint"], each["single"], each["environment"]) for each in found] == [
        ("joint", name, name) for name in NAMES
    ]
    assert [each["success"] for each in found] == [[0.75, 0.5], [0.25, 0.5]]
    assert [each["versus"]["difference"] for each in found] == [0.25, -0.25]
    assert found[0]["score"] == pytest.approx([(6 + 0.5) / 8, (4 + 1) / 8])
    assert "One student for several environments" in page
    lines = (sweep / "environments.md").read_text().splitlines()
    assert lines[2].startswith("| joint | alfworld | 8 | 75.0 % | 50.0 % | +25.0 (")
    assert lines[-1] == "| joint | mean | | 50.0 % | 50.0 % | +0.0 | 0.625 | 0.625 |"


def test_a_run_s_page_shows_each_environment(sweep):
    page = write_report(sweep / "env=joint").read_text()
    for row in ("alfworld: success", "webshop: mean score", "mean: success"):
        assert f">{row}</th>" in page
    assert "alfworld/walk" in page


def test_a_sweep_without_a_joint_student_has_no_such_table(sweep):
    (sweep / "env=joint" / "summary.json").unlink()
    write_report(sweep)
    assert "environments" not in json.loads((sweep / "results.json").read_text())
    assert not (sweep / "environments.md").exists()
