"""The report of a sweep: groups, comparisons, and the files for an experiment's folder."""

import csv
import json
import re

import pytest

from leap_exp.analysis.arms import Arm, arms_markdown
from leap_exp.analysis.statistics import Comparison
from leap_exp.analysis.sweep import read_sweep
from leap_exp.analysis.sweep_measures import sweep_measures
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
    assert "Left out because no round is finished: c (interrupted)." in text
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


def test_a_difference_that_rounds_to_zero_has_no_sign():
    nothing = Comparison(before=0.5, after=0.5 - 1e-17, low=-0.004, high=0.101, p=0.5, tasks=10)
    arm = Arm(label="none", seeds=[0], success=0.5, gain=nothing, against={}, labels=100, tokens=None)
    assert "| 0.0 (0 to +10), p = 0.5000 | 100 |  | 0.0 |  |" in arms_markdown([arm])[-1]


def test_an_arm_that_is_not_complete_is_compared_with_nothing(arms):
    """Its last round is an earlier one than that of the others."""
    for config in arms.glob("*/config.yaml"):
        with config.open("a") as file:
            file.write("rounds: 1\n")
    summary = arms / "arm=default,seed=1" / "summary.json"
    write_document(summary, {"rounds": json.loads(summary.read_text())["rounds"][:1]})
    write_report(arms)
    found = {arm["label"]: set(arm["against"]) for arm in json.loads((arms / "results.json").read_text())["arms"]}
    assert found == {"critical": {"length_control"}, "length_control": set()}
    measures = sweep_measures(read_sweep(arms))
    assert set(measures["arms"]) == {"critical", "length_control"}
    assert {each["arm"] for each in measures["comparisons"]} == {"critical", "length_control"}


def test_notes_about_a_sweep_are_below_its_table_of_arms(arms):
    job = arms / "arm=default,seed=0" / "job.json"
    write_document(job, {"state": "failed", "line": "Out of memory."})
    write_report(arms)
    table, note = (arms / "arms.md").read_text().strip().split("\n\n")
    assert table.count("\n") == 4
    assert note.startswith("Not complete: arm=default,seed=0")


def test_a_sweep_without_a_baseline_has_no_table_of_arms(ladder):
    write_report(ladder)
    assert "arms" not in json.loads((ladder / "results.json").read_text())
    assert not (ladder / "arms.md").exists()


def write_measures(run, *, nats, held_out=True):
    """Write what a run measured on its probes and what ``leap analyse`` found."""
    rows = [{"depth": None, "steps": 9, "nats": nats, "floor": 0.3}]
    samples = {"heldout": rows, "train": rows} if held_out else {"heldout": [], "train": rows}
    write_document(run / "round_001" / "measures.json", {"information": samples})
    bound = {"recoverability": 1.0, "epsilon": 0.2, "gamma": 0.1, "right": -0.25, "slack": 0.3, "holds": True}
    utility = {"utility": 0.125, "tasks": 30}
    write_document(run / "measures.json", {"rounds": [{"round": 1, "utility": utility}], "bound": [bound]})


def rows_of(page, section):
    """Return the cells of the last table of a section, without tags."""
    part = re.search(rf'<section id="{section}">(.*?)</section>', page, re.DOTALL)[1]
    table = re.findall(r"<table.*?</table>", part, re.DOTALL)[-1]
    rows = re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)
    return [[re.sub(r"<.*?>", "", cell).strip() for cell in re.findall(r"<t[hd].*?</t[hd]>", row)] for row in rows]


@pytest.fixture
def controlled(make_run, tmp_path):
    """Levels out of order and two controls, of which one is told another task's facts."""
    arms = (("shuffled", 0.3), ("p100", 0.4), ("none", 0.3), ("p25", 0.9), ("no_correction", 0.2))
    for privilege, success in arms:
        settings = "  control: shuffled\n" if privilege == "shuffled" else ""
        settings += "learn_from: demonstrations\n" if privilege == "no_correction" else ""
        for seed in range(2):
            name = f"ladder/privilege={privilege},seed={seed}"
            make_run(name, success=(0.3, success), seed=seed, privilege=privilege, settings=settings)
    return tmp_path / "ladder"


def test_levels_are_a_curve_and_controls_stand_beside_it(controlled):
    page = write_report(controlled).read_text()
    figure = (controlled / "success_by_group.svg").read_text()
    labels = re.findall(r'<text class="tick"[^>]*>([a-z_]+\d*)</text>', figure)
    # The levels between the first and the last keep their places.
    assert labels == ["none", "p25", "p50", "p75", "p100", "no_correction", "shuffled"]
    below_legend = figure.split('class="divider"')[1]
    dots = re.findall(r"<circle( class=\"hollow\")? cx=\"([\d.]+)\"", below_legend)
    places = sorted((float(x), bool(hollow)) for hollow, x in dots)
    assert [hollow for _, hollow in places] == [False] * 3 + [True] * 2
    gaps = [places[1][0] - places[0][0], places[2][0] - places[1][0]]
    assert gaps[1] == pytest.approx(3 * gaps[0], abs=0.2)
    assert "control arms" in figure
    assert 'data-value="' in page
    assert "the best control, shuffled, with" in page


def test_a_level_is_compared_with_the_controls_of_its_own_rule(controlled):
    write_report(controlled)
    found = {arm["label"]: set(arm["against"]) for arm in json.loads((controlled / "results.json").read_text())["arms"]}
    assert found == {
        "none": {"no_correction"},
        "p25": {"no_correction", "shuffled"},
        "p100": {"no_correction"},
        "shuffled": {"no_correction"},
        "no_correction": set(),
    }


def test_what_was_measured_is_charted_against_privilege(ladder):
    for place, run in enumerate(sorted(ladder.iterdir())):
        write_measures(run, nats=0.1 * place)
    page = write_report(ladder).read_text()
    figures = {path.name for path in ladder.glob("*.svg")}
    assert {"information_heldout_nats_by_group.svg", "utility_utility_by_group.svg"} <= figures
    measured = json.loads((ladder / "results.json").read_text())["groups"][1]
    assert measured["last_round_measures"]["information/heldout_nats"] == pytest.approx(0.45)
    low, high = measured["last_round_measures_ci95"]["information/heldout_nats"]
    # Student's t for two seeds, cut where information ends.
    assert (low, high) == (0.0, pytest.approx(0.45 + 12.706 * 0.05, abs=1e-3))
    assert "utility of facts" in page
    header, first, *_ = rows_of(page, "bound")
    assert dict(zip(header, first, strict=True)) == {
        "arm": "none",
        "best student": "0.0500",
        "teacher": "0.0500",
        "H": "1.0000",
        "ε": "0.2000",
        "H·ε": "0.2000",
        "gamma": "0.1000",
        "bound": "\N{MINUS SIGN}0.2500",
        "rounds": "1",
        "holds for": "2 of 2 seeds",
    }


def test_all_arms_of_a_chart_are_measured_on_the_same_sample(ladder):
    for place, run in enumerate(sorted(ladder.iterdir())):
        write_measures(run, nats=0.1, held_out=place > 1)
    page = write_report(ladder).read_text()
    assert (ladder / "information_train_nats_by_group.svg").exists()
    assert not (ladder / "information_heldout_nats_by_group.svg").exists()
    assert "Measured on training tasks." in page


def test_sections_without_data_are_left_out(make_run, tmp_path):
    make_run("sweep/0", success=(0.2, 0.8), seed=0)
    page = write_report(tmp_path / "sweep").read_text()
    sections = re.findall(r'<section id="([\w-]+)">', page)
    assert sections == ["arms", "tests", "learning", "types", "cost", "runs"]
    assert re.findall(r'<a href="#([\w-]+)">', page) == sections


def test_success_by_type_of_task_is_the_mean_over_seeds(ladder):
    page = write_report(ladder).read_text()
    header, *rows = rows_of(page, "types")
    assert header[:2] == ["task type", "tasks"]
    for place, name in enumerate(header[2:], start=2):
        summaries = [
            json.loads((ladder / f"privilege={name},seed={seed}" / "summary.json").read_text()) for seed in (0, 1)
        ]
        for row in rows:
            rates = [summary["rounds"][1]["per_task_type"][row[0]]["success_rate"] for summary in summaries]
            assert row[place] == f"{100 * sum(rates) / 2:.0f} %"


def test_statistics_of_other_results_are_left_out(ladder):
    write_report(ladder)
    groups = json.loads((ladder / "results.json").read_text())["groups"]
    tests = [
        {
            "arm": group["label"],
            "against": "behaviour cloning",
            "probability_of_improvement": None,
            "difference": group["last_round_vs_behaviour_cloning"]["difference"],
            "p_holm": 0.0421,
        }
        for group in groups
    ]
    write_document(ladder / "measures.json", {"comparisons": tests, "prediction": {"sentence": "Leaks predict it."}})
    page = write_report(ladder).read_text()
    assert "p (Holm)" in page
    assert "0.0421" in page
    assert "Leaks predict it." in page
    tests[0]["difference"] += 0.1
    write_document(ladder / "measures.json", {"comparisons": tests, "prediction": {"sentence": "Leaks predict it."}})
    page = write_report(ladder).read_text()
    assert "measures.json is about other results: run leap analyse again." in page
    assert "0.0421" not in page


def test_the_same_task_side_by_side_begins_where_arms_differ_and_stays_small(ladder, monkeypatch):
    def beside():
        page = write_report(ladder).read_text()
        return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])

    everything = beside()
    assert [arm["label"] for arm in everything["arms"]] == ["none", "p25", "p100"]
    assert everything["total"] == len(everything["tasks"]) == 30
    solved = [sum(episode["success"] for episode in task["episodes"]) for task in everything["tasks"]]
    apart = [min(count, 3 - count) for count in solved]
    assert apart == sorted(apart, reverse=True)
    observation, reason, action, valid = everything["tasks"][0]["episodes"][0]["steps"][3]
    assert everything["strings"][observation] == "Nothing happens."
    assert (everything["strings"][reason], everything["strings"][action], valid) == (
        "Cabinets often hold mugs.",
        "dance",
        0,
    )
    monkeypatch.setattr("leap_exp.report.side_by_side.BYTES", 4_000)
    fewer = beside()
    assert (fewer["total"], fewer["tasks"]) == (30, everything["tasks"][: len(fewer["tasks"])])
    assert 1 <= len(fewer["tasks"]) < 30


def test_arms_that_differ_in_more_than_privilege_have_a_curve_each(make_run, tmp_path):
    for trainer in ("sft", "dpo"):
        for privilege in ("none", "p100"):
            run = make_run(f"sweep/{trainer},{privilege}", success=(0.3, 0.5), privilege=privilege)
            config = run / "config.yaml"
            config.write_text(config.read_text().replace("  name: sft\n", f"  name: {trainer}\n"))
    write_report(tmp_path / "sweep")
    figure = (tmp_path / "sweep" / "success_by_group.svg").read_text()
    names = re.findall(r'<text class="name"[^>]*>([^<]*)</text>', figure)
    assert names == ["last round, dpo", "last round, sft", "behaviour cloning"]
    assert figure.count("<polyline") == 3
