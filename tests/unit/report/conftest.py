"""Made-up run folders of a student that gets better at finding mugs, and a browser for their reports."""

import random
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest

from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import (
    Briefing,
    Correction,
    CorrectionFailure,
    Decision,
    Observation,
    PrivilegedFacts,
    Step,
    StopReason,
    Task,
    Trajectory,
)
from leap_exp.runs import LineLog, write_document, write_records
from leap_exp.stages.evaluate import assess

KINDS = ("look_at_obj_in_light", "pick_and_place_simple", "pick_heat_then_place_in_recep")
ADMISSIBLE = ("go to cabinet 1", "go to shelf 1", "open cabinet 1", "take mug 2 from cabinet 1", "look")
LEVELS = ("none", "p25", "p50", "p75", "p100")
HOSTILE = "You see a </script><script>window.broken = 1</script> & a <b>shelf 1</b>."


def make_task(index: int, split: str) -> Task:
    kind = KINDS[index % len(KINDS)]
    return Task(id=f"toy/{split}/{index}", split=split, instruction=f"put mug number {index} in shelf.", kind=kind)


def make_trajectory(task: Task, *, policy: str, success: bool | None, length: int) -> Trajectory:
    texts = [
        "You see a cabinet 1 and a shelf 1.",
        HOSTILE,
        "The cabinet 1 is open. You see a mug 2.",
        "Nothing happens.",
    ]
    steps = [
        Step(
            observation=Observation(text=texts[place % 4], admissible_actions=ADMISSIBLE),
            decision=Decision(
                reason="Cabinets often hold mugs." if place % 2 else "",
                action="dance" if place == 3 else ADMISSIBLE[place % 5],
            ),
            reward=0.0,
        )
        for place in range(length)
    ]
    stop = StopReason.INFRA_ERROR if success is None else StopReason.DONE if success else StopReason.STEP_LIMIT
    return Trajectory(
        task=task,
        policy_id=policy,
        seed=int(task.id.split("/")[-1]),
        steps=tuple(steps),
        stop=stop,
        score=None if success is None else float(success),
        error="EnvError: the engine broke" if success is None else "",
    )


def make_correction(trajectory: Trajectory) -> Correction:
    actions = ["go to cabinet 1", "open cabinet 1", "take mug 2 from cabinet 1", "go to shelf 1"]
    decisions = tuple(
        Decision(reason="Mug 2 is in cabinet 1." if place == 1 else "On to the next place.", action=actions[place % 4])
        for place in range(len(trajectory.steps))
    )
    facts = PrivilegedFacts(
        task_id=trajectory.task.id,
        text="Mug 2 is in cabinet 1.",
        data={"hidden_names": ["mug 2"], "locations": {"mug 2": "cabinet 1"}},
    )
    return Correction(
        trajectory=trajectory,
        decisions=decisions,
        changed=tuple(s.decision.action != d.action for s, d in zip(trajectory.steps, decisions, strict=True)),
        teacher_id="oracle",
        briefing=Briefing(disclosure=Disclosure.P100, facts=facts),
    )


def demonstrations_as_corrections(trajectories) -> list[Correction]:
    return [
        Correction(
            trajectory=trajectory,
            decisions=tuple(step.decision for step in trajectory.steps),
            changed=(False,) * len(trajectory.steps),
            teacher_id="expert",
            briefing=Briefing(disclosure=Disclosure.NONE, facts=None),
        )
        for trajectory in trajectories
    ]


def write_round(folder: Path, index: int, success: float, generator: random.Random, panel: list[Task]) -> dict:
    path = folder / f"round_{index:03d}"
    (path / "student").mkdir(parents=True)
    rollouts = [
        make_trajectory(
            make_task(100 * index + n, "train"), policy="student", success=index == 0 or n % 2 == 0, length=3
        )
        for n in range(10)
    ]
    weak = [trajectory for trajectory in rollouts if not trajectory.succeeded]
    corrections = [make_correction(trajectory) for trajectory in weak[:-1]]
    failures = [CorrectionFailure(trajectory=t, teacher_id="oracle", error="no plan") for t in weak[-1:]]
    if index == 0:
        corrections, failures = demonstrations_as_corrections(rollouts), []
    write_records(path / "trajectories.jsonl", rollouts, {})
    write_records(path / "corrections.jsonl", [*corrections, *failures], {})
    evaluation = [
        make_trajectory(
            task,
            policy=f"student/round_{index}",
            success=None if index == 1 and place == 0 else generator.random() < success,
            length=4 + place % 5,
        )
        for place, task in enumerate(panel)
    ]
    write_records(path / "evaluation.jsonl", evaluation, {})
    result = asdict(assess(evaluation))
    return {"round": index, "split": "valid_unseen", "panel_hash": "5eed" * 16, **result}


def write_metrics(folder: Path, rounds: int, shift: float) -> None:
    metrics, timings = LineLog(folder / "metrics.jsonl"), LineLog(folder / "timings.jsonl")
    for index in range(rounds):
        values = {
            "rollout/n_count": 10,
            "rollout/success_rate": 0.5,
            "correct/corrections_count": 4,
            "correct/failures_count": 1,
            "correct/changed_share": 0.4,
            "leakage/share": 0.1 * index,
            "train/loss_first_epoch_nats": 0.9 / (index + 1),
            "train/loss_last_epoch_nats": 0.5 / (index + 1),
            "train/validation_loss_nats": float("nan") if index == 1 else 0.6 / (index + 1),
            "realizability/heldout_logprob_before_nats": -3.0 / (index + 1) - shift,
            "realizability/heldout_logprob_after_nats": -1.5 / (index + 1) - shift,
            "realizability/heldout_epsilon": 0.9 / (index + 1) + shift,
            "realizability/train_logprob_before_nats": -2.5 / (index + 1),
            "realizability/train_logprob_after_nats": -0.6 / (index + 1),
        }
        finite = {name: value if value == value else None for name, value in values.items()}
        metrics.append({"round": index, "metrics": finite})
        timings.append({"round": index, "stage": "trajectories", "seconds": 41.5})
        timings.append({"round": index, "stage": "student", "seconds": 120.25})


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture
def browse(tmp_path):
    """Return a function that opens a page and returns its document, after scripts have run, and the console's lines."""
    if CHROMIUM is None:
        pytest.skip("needs chromium, which is not installed here")

    def open_page(path, fragment="", *, dark=False):
        command = [
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *("--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=2000"),
            *("--window-size=1600,1000", f"--blink-settings=preferredColorScheme={0 if dark else 1}"),
            *("--dump-dom", f"{path.as_uri()}{fragment}"),
        ]
        result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
        console = [line for line in result.stderr.splitlines() if "CONSOLE" in line]
        return result.stdout, console

    return open_page


@pytest.fixture
def make_run(tmp_path):
    """Return a function that writes a run folder, given the probability of success in each round."""

    def make(name="run", *, success=(0.3, 0.5, 0.7), seed=0, privilege="p50", shift=0.0, settings="") -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        config = (
            "env:\n  name: alfworld\nteacher:\n  name: oracle\n"
            f"privilege:\n  name: {privilege}\n  disclosure: {privilege if privilege in LEVELS else 'p25'}\n{settings}"
            f"student:\n  name: smollm2_135m\ntrainer:\n  name: sft\nseed: {seed}\nrun_dir: {folder}\n"
        )
        (folder / "config.yaml").write_text(config)
        write_document(folder / "provenance.json", {"command": "python -m leap_exp", "cores": 2})
        panel = [make_task(n, "valid_unseen") for n in range(30)]
        generator = random.Random(seed)
        rounds = [write_round(folder, i, rate, generator, panel) for i, rate in enumerate(success)]
        write_document(folder / "summary.json", {"rounds": rounds})
        write_metrics(folder, len(success), shift)
        return folder

    return make
