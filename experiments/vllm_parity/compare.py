"""Compare the decisions of a student behind vLLM with those of the same student in this process, step by step.

    python experiments/vllm_parity/compare.py [--episodes N] [--steps N] [--adapter FOLDER] [SETTING=VALUE ...]

The student acts through vLLM; the other one decides about the same views. Both are greedy, in float32. Every difference
is printed with the margin (nats) by which the student in this process prefers its own token where the two part. Prints
a line of JSON for each kind of decoding.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

from hydra import compose, initialize_config_dir

from leap_exp.config.messages import run_config
from leap_exp.config.registry import conf_dir, register
from leap_exp.config.run import RunConfig
from leap_exp.core.types import Decision, View, views
from leap_exp.stages.rollout import rollout
from leap_exp.students.hf import HfStudent, vllm_student
from leap_exp.tokens.spans import choice_row

DECODINGS = ("free", "admissible")
SETTINGS = [
    *("student=vllm", "student.model=smollm2_135m", "student.dtype=float32", "student.serve_args=[--enforce-eager]"),
    # As the default student.
    *("student.format=plain", "student.reasons=false", "student.list_actions=false", "student.condense=true"),
    *("student.remind=true", "student.context_length=2048", "student.max_new_tokens=32", "student.lora.r=32"),
]
NEAR_TIE_NATS = 1e-3


def configured(*overrides: str) -> RunConfig:
    """Return the configuration of a run."""
    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return run_config(compose("config", overrides=["run_dir=unused", *overrides]))


def compare(config: RunConfig, *, episodes: int, steps: int, adapter: Path | None) -> dict[str, object]:
    """Return how many decisions differ, and the largest margin at a difference."""
    environment = config.env.build()
    student = vllm_student(config.student, environment)
    if adapter is not None:
        student = student.load(adapter, policy_id="adapter")
    started = time.monotonic()
    trajectories = rollout(
        environment,
        student,
        environment.tasks("valid_unseen")[:episodes],
        seed=0,
        max_steps=steps,
        batch=episodes,
        on_progress=lambda *_: None,
    )
    seconds = time.monotonic() - started
    margins: list[float] = []
    for index in range(steps):
        # As they acted: all episodes at once, each continuing its conversation.
        going = [walk for walk in trajectories if index < len(walk.steps)]
        seen = [views(walk)[index] for walk in going]
        local = student.local.act(seen, seed=0)
        for view, walk, own in zip(seen, going, local, strict=True):
            theirs = walk.steps[index].decision
            if isinstance(own, Decision) and own != theirs:
                margins.append(margin(student, view, own, theirs))
                print(f"{view.task.id} step {index}: {own} but vLLM {theirs}; margin {margins[-1]:.2g} nats")
    decisions = sum(len(walk.steps) for walk in trajectories)
    return {
        "episodes": len(trajectories),
        "unscored": sum(walk.score is None for walk in trajectories),
        "decisions": decisions,
        "distinct_decisions": len({step.decision for walk in trajectories for step in walk.steps}),
        "equal": decisions - len(margins),
        "equal_share": (decisions - len(margins)) / decisions,
        "largest_margin_nats": max(margins, default=0.0),
        "differences_not_near_ties": sum(value > NEAR_TIE_NATS for value in margins),
        "acting_seconds": round(seconds, 1),
    }


def margin(student: HfStudent, view: View, own: Decision, theirs: Decision) -> float:
    """Return how much likelier (nats) ``student`` finds its own token than the other's where the responses part."""
    codec = student.codec
    ids: Sequence[tuple[int, ...]] = [codec.response_ids(own), codec.response_ids(theirs)]
    place = next(place for place, (a, b) in enumerate(zip(*ids, strict=False)) if a != b)
    prompt = [*codec.prompt_ids(view), *ids[0][:place]]
    row = choice_row(view.task.id, prompt, [ids[0][place : place + 1], ids[1][place : place + 1]], restricted=False)
    (score,) = student._local.score([row])
    return score.total(0) - score.total(1)


def main() -> None:
    """Print a line of JSON for each kind of decoding."""
    parser = argparse.ArgumentParser(description="Compare decisions of vLLM with those in this process.")
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--adapter", type=Path, help="a trained adapter, such as round_001/student of a run")
    parser.add_argument("--decoding", choices=DECODINGS, action="append", help="both, if left out")
    parser.add_argument("overrides", nargs="*", metavar="SETTING=VALUE")
    given = parser.parse_args()
    for decoding in given.decoding or DECODINGS:
        config = configured(*SETTINGS, f"student.decoding={decoding}", *given.overrides)
        result = compare(config, episodes=given.episodes, steps=given.steps, adapter=given.adapter)
        print(json.dumps({"decoding": decoding, "trained": given.adapter is not None, **result}), flush=True)


if __name__ == "__main__":
    main()
