"""The report of a run: what the page shows."""

import json
import re

import pytest

from leap_exp.core.errors import StoreError
from leap_exp.report import viewer, write_report
from leap_exp.report.page import embed, numbers, p_value, percent, points
from leap_exp.runs import TRAIN_LOG, LineLog


def embedded(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def test_page_shows_settings_and_results(make_run):
    page = write_report(make_run()).read_text()
    text = text_of(page)
    for expected in ("LEAP on alfworld", "oracle", "p50", "smollm2_135m", "30 tasks of valid_unseen", "5eed5eed5eed"):
        assert expected in text
    assert re.search(r"After 2 rounds the student solves [\d.]+ % of the panel; after behaviour cloning", text)
    assert "permutation test, p" in text
    assert "pick_heat_then_place_in_recep" in text


def test_losses_are_shown_by_optimizer_step(make_run):
    folder = make_run()
    assert "Loss by optimizer step" not in write_report(folder).read_text()
    for index, losses in enumerate(([4.0, 3.0, None], [2.0] * 500)):
        student = folder / f"round_{index:03d}" / "student"
        student.mkdir(exist_ok=True)
        log = LineLog(student / TRAIN_LOG)
        for step, loss in enumerate(losses, start=1):
            log.append({"step": step, "loss": loss})
    (chart,) = re.findall(
        r"<svg(?:(?!</svg>).)*Loss by optimizer step.*?</svg>", write_report(folder).read_text(), re.DOTALL
    )
    lines = re.findall(r'<polyline class="line[^"]*" points="([^"]*)"', chart)
    assert [len(points.split()) for points in lines] == [1, 100]  # means over five steps
    assert ">round 1<" in chart
    assert "<circle" in chart  # the only point of the first round would be no line


def test_a_failed_episode_is_shown_as_unscored(make_run):
    page = write_report(make_run()).read_text()
    row = re.search(r'<tr><th scope="row">1</th>.*?</tr>', page, re.DOTALL)[0]
    assert [cell.strip() for cell in re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL)][-2:] == ["29", "1"]


def test_evaluation_only_run_has_one_round_and_no_comparison(make_run):
    folder = make_run(success=(0.4,))
    (folder / "round_000" / "student").rmdir()
    text = text_of(write_report(folder).read_text())
    assert "The policy solves" in text
    assert "behaviour cloning it solved" not in text


def test_page_needs_no_network_and_escapes_its_content(make_run):
    page = write_report(make_run()).read_text()
    assert not re.search(r"""(src|href)=["'](?!#|data:)""", page)
    assert not re.search(r"url\(|@import|fetch\(", page)
    assert "<script>window.broken" not in page
    assert embedded(page)["groups"][1]["items"][1]["steps"][1]["text"].startswith("You see a </script>")


def test_viewer_data_has_the_decisions_of_student_and_teacher(make_run):
    data = embedded(write_report(make_run()).read_text())
    stages = [(group["label"], group["stage"]) for group in data["groups"]]
    later = [(label, stage) for label in ("1", "2") for stage in ("rollout", "evaluation")]
    assert stages == [("BC", "demonstrations"), ("BC", "evaluation"), *later]
    weak = data["groups"][2]["items"][1]
    step = weak["steps"][1]
    assert step["action"] == "go to shelf 1"
    assert step["teacher"]["action"] == "open cabinet 1"
    assert step["teacher"]["changed"] is True
    assert "go to cabinet 1" in [data["strings"][place] for place in step["admissible"]]
    failed = data["groups"][2]["items"][-1]
    assert failed["failure"] == "no plan"
    assert "teacher" not in failed["steps"][0]


def test_large_runs_are_cut_evenly_and_report_the_total(make_run, monkeypatch):
    monkeypatch.setattr(viewer, "TRAJECTORIES", 24)
    groups = embedded(write_report(make_run()).read_text())["groups"]
    assert [len(group["items"]) for group in groups] == [4] * 6
    assert [group["total"] for group in groups] == [10, 30] * 3


def test_a_folder_without_finished_rounds_is_refused(tmp_path):
    with pytest.raises(StoreError, match="holds no run with a finished round"):
        write_report(tmp_path)


def test_a_summary_of_another_version_is_refused(make_run):
    folder = make_run()
    path = folder / "summary.json"
    path.write_text(path.read_text().replace('"success_rate"', '"success"'))
    with pytest.raises(StoreError, match=r"summary\.json lacks success_rate"):
        write_report(folder)
    path.write_text(path.read_text().replace('"schema_version": 1', '"schema_version": 2'))
    with pytest.raises(StoreError, match="schema version 2"):
        write_report(folder)


def test_broken_records_are_refused_by_file_name(make_run):
    folder = make_run()
    path = folder / "round_001" / "evaluation.jsonl"
    path.write_text(path.read_text()[:-40])
    with pytest.raises(StoreError, match=r"round_001/evaluation\.jsonl"):
        write_report(folder)


def test_embedded_json_cannot_leave_its_script_element():
    text = embed({"a": "</script><!--\u2028&"})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"a": "</script><!--\u2028&"}


def test_number_formats():
    assert percent(0.5649) == "56.5 %"
    assert percent(None) == "\N{EN DASH}"
    assert points(-0.05) == "\N{MINUS SIGN}5.0"
    assert p_value(0.0004) == "p < 0.001"
    assert numbers([1.0, None, 2.0]) == ["1", "\N{EN DASH}", "2"]
    assert numbers([-1.5, float("nan"), 2.0]) == ["\N{MINUS SIGN}1.500", "\N{EN DASH}", "2.000"]
    assert numbers([3e-5, 1e-5]) == ["3.0e\N{MINUS SIGN}05", "1.0e\N{MINUS SIGN}05"]
