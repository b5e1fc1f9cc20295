"""Results cards: what they hold, and what repeating them says."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from hydra.core.config_store import ConfigStore

from leap_exp.analysis.card import compare_cards, read_card
from leap_exp.analysis.cost import Cost, gain_per_cost
from leap_exp.cli.main import main
from leap_exp.core.components import StudentConfig
from leap_exp.core.errors import StoreError
from leap_exp.report.card_page import write_card_page
from leap_exp.students.scripted import NoisyPolicy, RandomPolicy
from tests.support import toy_main  # noqa: F401 - puts the toy world among the groups
from tests.support.toy import ToyStudent

EXPERIMENT = Path(__file__).parents[3] / "experiments" / "results_card" / "card.json"
TOY = ("env=toy", "teacher=toy", "student=toy", "trainer=toy", "tracker=jsonl")


@dataclass
class SometimesConfig(StudentConfig):
    """A scripted student with some luck."""

    trainable: ClassVar[bool] = False
    varies = True

    def build(self, environment):
        return NoisyPolicy(ToyStudent({"red": "open door 5"}), RandomPolicy(), share=0.5)


ConfigStore.instance().store(group="student", name="sometimes", node=SometimesConfig)


@pytest.fixture
def leap(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEAP_DATA", str(tmp_path / "data"))

    def run(*arguments):
        with pytest.raises(SystemExit) as leaving:
            main(arguments)
        printed = capsys.readouterr()
        return int(leaving.value.code or 0), printed.out, printed.err

    return run


@pytest.fixture
def toy_panel(tmp_path):
    from leap_exp.stages.evaluate import draw_panel
    from leap_exp.stages.panels import make_panel_file
    from tests.support.toy import ToyEnvironment

    environment = ToyEnvironment()
    panel = draw_panel(environment.tasks("valid_unseen"), split="valid_unseen", size=12, seed=0)
    file = make_panel_file(panel, environment, name="toy_12", about="Toys.", settings=["env=toy"])
    file.write(tmp_path / "toy_12.json")
    return "toy_12.json"


def test_a_card_over_seeds_is_confirmed_by_repeating_it(leap, toy_panel, tmp_path):
    code, out, err = leap(
        "eval", "student=sometimes", "--panel", toy_panel, "--seeds", "0,1,2", *TOY[-1:], "run_dir=here"
    )
    assert (code, err) == (0, "")
    card = read_card(tmp_path / "here")
    assert card["seeds"] == [0, 1, 2]
    assert (card["panel"]["name"], card["panel"]["tasks"]) == ("toy_12", 12)
    assert len(set(card["result"]["success_by_seed"])) > 1
    low, high = card["result"]["success_ci95"]
    assert low < card["result"]["success_rate"] < high
    assert all(len(values) == 3 for values in card["tasks"].values())
    assert card["versions"]["leap-exp"]
    page = (tmp_path / "here" / "card.md").read_text()
    assert f"**{card['result']['success_rate']:.1%}** success" in page
    assert card["panel"]["contents_sha256"] in page
    code, out, _ = leap("eval", "--verify", "here/card.json", "run_dir=again")
    assert code == 0
    assert json.loads(out.strip().splitlines()[-1])["verdict"] == "identical"
    assert "0 of 12 tasks have other results." in out


def test_the_card_of_the_experiments_is_confirmed(leap):
    code, out, err = leap("eval", "--verify", str(EXPERIMENT), "run_dir=again")
    assert (code, err) == (0, "")
    assert "0 of 120 tasks have other results." in out


def test_a_result_outside_the_interval_does_not_agree(leap, toy_panel, tmp_path):
    leap("eval", "student=sometimes", "--panel", toy_panel, "tracker=jsonl", "run_dir=here")
    path = tmp_path / "here" / "card.json"
    card = json.loads(path.read_text())
    card["result"]["success_ci95"] = [0.9, 1.0]
    path.write_text(json.dumps(card))
    code, out, _ = leap("eval", "--verify", "here", "run_dir=again")
    assert code == 1
    assert "outside the interval" in out
    assert json.loads(out.strip().splitlines()[-1])["verdict"] == "does not agree"


def test_the_card_of_a_training_run_has_its_costs_and_is_confirmed(leap, tmp_path):
    settings = ("rounds=1", "demonstrations.count=8", "rollouts.tasks=12", "evaluation.tasks=12")
    assert leap("run", *TOY, *settings, "run_dir=here")[0] == 0
    card = read_card(tmp_path / "here")
    assert card["cost"]["labels"] > 8
    assert card["cost"]["gained"] == 0.25
    assert card["cost"]["gained_per"]["labels"] == pytest.approx(250 / card["cost"]["labels"])
    assert card["cost"]["gained_per"]["dollars"] is None
    assert card["settings"]["rounds"] == 1
    assert "Gained since round 0: +25.0 percentage points." in (tmp_path / "here" / "card.md").read_text()
    code, out, _ = leap("eval", "--verify", "here/card.json", "run_dir=again")
    assert code == 0
    assert json.loads(out.strip().splitlines()[-1])["verdict"] == "identical"


def test_the_page_of_a_card_is_for_people(leap, toy_panel, tmp_path):
    assert leap("eval", "student=sometimes", "--panel", toy_panel, "tracker=jsonl", "run_dir=here")[0] == 0
    card = read_card(tmp_path / "here")
    card["student"] |= {"adapter_sha256": None, "accelerators": []}
    card["machine"]["cpu_features"] = ["avx2", "fma"]
    card["cost"]["gained_per"] |= {"tokens_written": 14.726, "labels": 0.02}
    card["arguments"] = []
    page = write_card_page(card, tmp_path).read_text()
    assert "    leap run\n" in page
    assert "+1,473 points per million tokens" in page
    assert "+2 points per 1,000 labels" in page
    assert "| cpu features | avx2, fma |" in page
    assert "adapter" not in page and "accelerators" not in page and "None" not in page


def test_a_checkpoint_that_has_moved_is_given_to_verify(leap, toy_panel, tmp_path):
    leap("run", *TOY, "rounds=1", "demonstrations.count=8", "rollouts.tasks=12", "evaluation.tasks=12", "run_dir=run")
    assert leap("eval", "run/round_001", "--panel", toy_panel, "tracker=jsonl", "run_dir=here")[0] == 0
    assert read_card(tmp_path / "here")["student"]["checkpoint_sha256"]
    (tmp_path / "run").rename(tmp_path / "moved")
    code, _, err = leap("eval", "--verify", "here/card.json", "run_dir=again")
    assert code == 2
    assert "give its folder" in err
    assert leap("eval", "--verify", "here/card.json", "moved/round_001", "run_dir=again")[0] == 0
    (tmp_path / "moved" / "round_001" / "student" / "known.json").write_text("{}")
    code, out, _ = leap("eval", "--verify", "here/card.json", "moved/round_001", "run_dir=changed")
    assert code == 1
    assert "The student differs" in out


def test_seeds_need_a_panel(leap):
    code, _, err = leap("eval", "student=random", "--seeds", "0,1")
    assert code == 2
    assert "--seeds needs --panel" in err
    assert leap("eval", "--seeds", "a,b")[0] == 2


def test_the_tiny_student_counts_its_tokens(leap, tmp_path):
    arguments = ("student=tiny", "--panel", "builtin_alfworld_36", "env.max_steps_eval=2", "tracker=jsonl")
    assert leap("eval", *arguments, "run_dir=here")[0] == 0
    cost = read_card(tmp_path / "here")["cost"]
    assert cost["tokens_read"] > 36 * 100
    assert cost["tokens_written"] > 36 * 2
    assert cost["core_seconds"] > 0
    assert (cost["labels"], cost["dollars"], cost["gained"]) == (0, 0, None)


def test_the_card_of_joined_environments_has_each_of_them_and_is_confirmed(leap, tmp_path):
    joint = ("env=joint", "env.members=[alfworld,webshop]", "evaluation.tasks=2")
    assert leap("eval", "student=scripted_expert", *joint, "tracker=jsonl", "run_dir=here")[0] == 0
    card = read_card(tmp_path / "here")
    assert card["result"]["success_by_environment"].keys() == {"alfworld", "webshop"}
    assert card["panel"]["tasks"] == 4
    page = (tmp_path / "here" / "card.md").read_text()
    assert "## By environment" in page
    code, out, _ = leap("eval", "--verify", "here/card.json", "run_dir=again")
    assert code == 0
    assert json.loads(out.strip().splitlines()[-1])["verdict"] == "identical"


def test_what_is_no_card_is_refused(tmp_path):
    (tmp_path / "card.json").write_text('{"schema_version": 1}')
    with pytest.raises(StoreError, match="not a results card"):
        read_card(tmp_path)


def test_gain_per_cost():
    spent = Cost(labels=500, tokens_read=2e6, tokens_written=0, core_seconds=7200, gpu_seconds=0, dollars=4)
    found = gain_per_cost(0.5, spent)
    assert found == {
        "labels": 1.0,
        "tokens_read": 0.25,
        "tokens_written": None,
        "core_seconds": 0.25,
        "gpu_seconds": None,
        "dollars": 0.125,
    }
    assert set(gain_per_cost(None, spent).values()) == {None}
    assert (spent + spent).labels == 1000


def test_another_accelerator_is_no_other_student():
    card = {
        "panel": {"hash": "a"},
        "student": {"weights_sha256": "w", "accelerators": ["one"]},
        "protocol": None,
        "settings": {"seed": 0, "tracker.name": "x"},
        "result": {"success_ci95": [0.2, 0.6], "success_rate": 0.4},
        "tasks": {"t": [1.0]},
    }
    repeated = {
        **card,
        "student": {"weights_sha256": "w", "accelerators": []},
        "settings": {"seed": 0, "tracker.name": "y"},
    }
    assert compare_cards(card, repeated).identical
    other = compare_cards(card, {**card, "tasks": {"t": [0.0]}})
    assert (other.agrees, other.identical) == (True, False)
    assert not compare_cards(card, {**card, "panel": {"hash": "b"}}).agrees
