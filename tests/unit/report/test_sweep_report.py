"""The report of a sweep: groups, comparisons, and the files for an experiment's folder."""

import csv
import json
import re

import pytest

from leap_exp.report import write_report
from leap_exp.runs import LineLog, write_document


@pytest.fixture
def ladder(make_run, tmp_path):
    for privilege, success in (("none", (0.3, 0.35)), ("p100", (0.3, 0.4)), ("p25", (0.3, 0.9))):
        for seed in range(2):
            make_run(f"ladder/privilege={privilege},seed={seed}", success=success, seed=seed, privilege=privilege)
    return tmp_path / "ladder"


def test_runs_are_grouped_by_what_differs_besides_the_seed(ladder):
    write_report(ladder)
    results = json.loads((ladder / "results.json").read_text())
    assert results["keys"] == ["privilege.name"]
    assert [group["label"] for group in results["groups"]] == ["none", "p25", "p100"]
    assert all(group["seeds"] == [0, 1] for group in results["groups"])
    assert results["notes"] == []


def test_last_round_is_compared_with_behaviour_cloning(ladder):
    write_report(ladder)
    groups = {group["label"]: group for group in json.loads((ladder / "results.json").read_text())["groups"]}
    strong = groups["p25"]["last_round_vs_behaviour_cloning"]
    rounds = groups["p25"]["rounds"]
    assert strong["permutation_p"] < 0.01
    assert strong["difference_ci95"][0] < strong["difference"] < strong["difference_ci95"][1]
    assert rounds[0]["success_mean"] == pytest.approx(sum(rounds[0]["success_by_seed"]) / 2)
    assert groups["none"]["last_round_vs_behaviour_cloning"]["permutation_p"] > 0.05


def test_page_links_to_the_runs_and_shows_the_figures(ladder):
    page = write_report(ladder).read_text()
    assert 'href="privilege%3Dp25%2Cseed%3D1/report.html"' in page
    assert page.count("<svg") == 4
    assert "What more privilege buys and costs" in page
    figures = sorted(path.name for path in ladder.glob("*.svg"))
    assert figures == [
        "leakage_share_by_group.svg",
        "realizability_heldout_epsilon_by_group.svg",
        "success.svg",
        "success_by_group.svg",
    ]


def test_table_has_one_row_per_run_and_round(ladder):
    write_report(ladder)
    with (ladder / "summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 2 * 2
    assert {row["privilege.name"] for row in rows} == {"none", "p25", "p100"}
    assert all(0 <= float(row["success_rate"]) <= 1 for row in rows)


def test_page_warns_about_unfair_comparisons(make_run, tmp_path):
    make_run("sweep/a", success=(0.3, 0.5, 0.6), seed=0)
    make_run("sweep/b", success=(0.3, 0.5), seed=0)
    started = tmp_path / "sweep" / "c"
    started.mkdir()
    write_document(started / "provenance.json", {})
    page = write_report(tmp_path / "sweep").read_text()
    text = re.sub(r"\s+", " ", page)
    assert "Left out because no round is finished: c." in text
    assert "the runs have 2 to 3 rounds" in text
    assert "several runs have the same seed" in text


def test_a_run_of_an_older_version_joins_its_group(make_run, tmp_path):
    for seed, setting in enumerate(("mistakes", "max_changed_steps")):
        path = make_run(f"sweep/{seed}", success=(0.2, 0.8), seed=seed) / "config.yaml"
        path.write_text(path.read_text().replace("  name: sft\n", f"  name: sft\n  {setting}: 3\n"))
    write_report(tmp_path / "sweep")
    (group,) = json.loads((tmp_path / "sweep" / "results.json").read_text())["groups"]
    assert group["seeds"] == [0, 1]


def test_runs_that_differ_in_the_seed_alone_form_one_group(make_run, tmp_path):
    for seed in range(3):
        make_run(f"sweep/{seed}", success=(0.2, 0.8), seed=seed)
    page = write_report(tmp_path / "sweep").read_text()
    assert "Over 3 seeds, the last round solves" in re.sub(r"\s+", " ", page)
    assert not list((tmp_path / "sweep").glob("*_by_group.svg"))


@pytest.fixture
def arms(make_run, tmp_path):
    """An experiment with a control, a default arm and one that is better."""
    for arm, success in (("length_control", (0.3, 0.35)), ("default", (0.3, 0.5)), ("critical", (0.3, 0.95))):
        for seed in range(2):
            folder = make_run(f"arms/arm={arm},seed={seed}", success=success, seed=seed)
            source = "demonstrations" if arm == "length_control" else "corrections"
            steps = "critical" if arm == "critical" else "all"
            with (folder / "config.yaml").open("a") as file:
                file.write(f"learn_from: {source}\ncorrect:\n  steps: {steps}\n")
                file.write("" if arm == "default" else f"arm: {arm}\n")
            if arm == "length_control":
                (folder / "round_001" / "trajectories.jsonl").unlink()
                (folder / "round_001" / "corrections.jsonl").unlink()
            metrics = LineLog(folder / "metrics.jsonl")
            metrics.append({"round": 1, "metrics": {"train/tokens_count": 5_000.0}})
    return tmp_path / "arms"


def test_arms_are_named_by_themselves_and_compared_with_the_control_and_the_default(arms):
    write_report(arms)
    results = json.loads((arms / "results.json").read_text())
    assert results["keys"] == ["arm"]
    found = {arm["label"]: arm for arm in results["arms"]}
    assert set(found) == {"critical", "default", "length_control"}
    better = found["critical"]["against"]
    assert set(better) == {"default", "length_control"}
    assert better["length_control"]["p"] < 0.01
    assert better["length_control"]["low"] < better["length_control"]["difference"] < better["length_control"]["high"]
    assert set(found["default"]["against"]) == {"length_control"}
    # Four corrections of three steps.
    assert {label: arm["labels"] for label, arm in found.items()} == {
        "critical": 12,
        "default": 12,
        "length_control": 0,
    }
    assert found["critical"]["tokens"] == 5_000


def test_a_table_of_the_arms_is_ready_for_a_readme(arms):
    write_report(arms)
    lines = (arms / "arms.md").read_text().splitlines()
    assert lines[0].startswith("| arm | seeds | success | over cloning | over default | over length_control | labels |")
    assert len({line.count("|") for line in lines}) == 1
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| critical", "| default", "| length_control"]
    assert "<h2>Arms</h2>" in (arms / "report.html").read_text()


def test_a_sweep_without_a_baseline_has_no_table_of_arms(ladder):
    write_report(ladder)
    assert "arms" not in json.loads((ladder / "results.json").read_text())
    assert not (ladder / "arms.md").exists()
