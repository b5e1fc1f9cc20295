"""The workspace of W&B, built offline as the library would send it."""

import sys

import pytest

from leap_exp.analysis.sweep import read_sweep
from leap_exp.cli.report import main
from leap_exp.core.errors import ConfigError
from leap_exp.runs import LineLog, write_document
from tests.unit.report.conftest import make_run  # noqa: F401 - a fixture

workspaces = pytest.importorskip("wandb_workspaces.workspaces", reason='needs pip install "leap-exp[workspaces]"')
internal = pytest.importorskip("wandb_workspaces.workspaces.internal", reason="comes with the package above")

from leap_exp.tracking.workspace import make_workspace, save_workspace  # noqa: E402 - the package may be missing

TRACKER = "tracker:\n  name: wandb\n  project: labs\n  entity: {entity}\n  group: null\n"


@pytest.fixture
def sweep_folder(make_run, tmp_path):  # noqa: F811 - the fixture
    for privilege, success in (("none", 0.35), ("p25", 0.9), ("shuffled", 0.4)):
        for seed in range(2):
            name = f"ladder/privilege={privilege},seed={seed}"
            run = make_run(name, success=(0.3, success), seed=seed, privilege=privilege)
            with (run / "config.yaml").open("a") as file:
                file.write(TRACKER.format(entity="team"))
            metrics = LineLog(run / "metrics.jsonl")
            metrics.append(
                {"round": 1, "metrics": {"evaluate/success_rate/pick": 0.5, "information/heldout_nats": 0.2}}
            )
            metrics.append({"round": 1, "metrics": {"rollout/tokens_out_count": 90.0}})
            bound = {"recoverability": 1.0, "epsilon": 0.2, "gamma": 0.1, "right": -0.25, "slack": 0.3, "holds": True}
            rows = [{"depth": None, "steps": 9, "nats": 0.2}]
            write_document(run / "round_001" / "measures.json", {"information": {"heldout": rows, "train": []}})
            write_document(run / "measures.json", {"rounds": [], "bound": [bound]})
    return tmp_path / "ladder"


@pytest.fixture
def account(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.delenv("WANDB_MODE", raising=False)


def built(folder):
    shown = workspaces.Metric("Group") == "ladder"
    return make_workspace(read_sweep(folder), entity="team", project="labs", shown=shown)


def test_it_has_the_panels_of_the_report(sweep_folder):
    workspace = built(sweep_folder)
    sections = {section.name: section.panels for section in workspace.sections}
    assert list(sections) == ["Success", "Learning curves", "Measures", "Bound", "Task types", "Cost", "Trajectories"]
    table, bars, line = sections["Success"]
    assert table.markdown.splitlines()[0] == "| arm | last round |"
    assert [row.split(" | ")[0] for row in table.markdown.splitlines()[2:]] == ["| none", "| p25", "| shuffled"]
    assert bars.metrics == ["evaluate/success_rate"]
    assert (line.x, line.y) == ("round", ["evaluate/success_rate"])
    assert "information/heldout_nats" in [panel.metrics[0] for panel in sections["Measures"][::2]]
    assert "| none | 0.0500 |" in sections["Bound"][0].markdown
    assert sections["Task types"][0].metrics == ["evaluate/success_rate/pick"]
    assert [panel.metrics for panel in sections["Cost"]] == [["rollout/tokens_out_count"]]


def test_what_is_sent_shows_the_runs_of_the_sweep_by_arm(sweep_folder):
    """The library reads back what it would send, and the server's names of settings are in it."""
    workspace = built(sweep_folder)
    view = workspace._to_model()
    (runs,) = view.spec.section.run_sets
    assert [(key.section, key.name) for key in runs.grouping] == [("config", "privilege.value.name")]
    (chosen,) = runs.filters["filters"]
    assert (chosen["key"], chosen["value"]) == ({"section": "run", "name": "group"}, "ladder")
    again = workspaces.Workspace._from_model(view)
    assert [section.name for section in again.sections] == [section.name for section in workspace.sections]
    assert [len(section.panels) for section in again.sections] == [len(each.panels) for each in workspace.sections]
    assert view.spec.section.settings.x_axis == "round"


def test_sections_that_the_runs_lack_are_left_out(make_run, tmp_path):  # noqa: F811
    run = make_run("alone", success=(0.3,))
    sections = [section.name for section in built(run).sections]
    assert "Bound" not in sections
    assert "Cost" not in sections


def test_saving_is_one_call(sweep_folder, account, monkeypatch):
    sent = []

    def upsert(view):
        sent.append(view)
        return {"upsertView": {"view": {"name": "nw-abc", "id": "1"}}}

    # What asks the server: for the account, for the address of the web page, and to keep the view.
    monkeypatch.setattr("wandb.Api", lambda: None)
    monkeypatch.setattr(internal, "upsert_view2", upsert)
    monkeypatch.setattr("wandb_workspaces.workspaces.interface.get_app_url", lambda api: "https://wandb.example")
    assert save_workspace(sweep_folder).startswith("https://wandb.example/team/labs?nw=")
    (view,) = sent
    assert (view.entity, view.project, view.display_name) == ("team", "labs", "ladder: LEAP report")


def test_without_an_account_or_a_tracker_it_says_what_to_do(sweep_folder, make_run, monkeypatch):  # noqa: F811
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    with pytest.raises(ConfigError, match="needs an account: set WANDB_API_KEY"):
        save_workspace(sweep_folder)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    other = make_run("other")
    with (other / "config.yaml").open("a") as file:
        file.write("tracker:\n  name: jsonl\n")
    with pytest.raises(ConfigError, match="was not logged to W&B: its runs have tracker=jsonl"):
        save_workspace(other)


def test_the_command_names_the_extra_where_the_package_is_missing(sweep_folder, monkeypatch, capsys):
    for name in ("wandb_workspaces", "wandb_workspaces.reports"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "leap_exp.tracking.workspace", raising=False)
    assert main([str(sweep_folder), "--wandb"]) == 1
    assert 'pip install "leap-exp[workspaces]"' in capsys.readouterr().err
