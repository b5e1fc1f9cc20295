"""Print how often the teachers of two arms of a sweep take the same action, in percent of the corrected steps."""

import json
import sys
from pathlib import Path

sweep, arms, seeds = Path(sys.argv[1]), sys.argv[2].split(","), sys.argv[3].split(",")


def actions(arm: str) -> list[str]:
    """Return the teacher's actions in the first round of all seeds of an arm, in order."""
    found = []
    for seed in seeds:
        lines = (sweep / f"privilege={arm},seed={seed}" / "round_001" / "corrections.jsonl").read_text().splitlines()
        corrections = [line for line in map(json.loads, lines) if line.get("record") == "correction"]
        found += [decision["action"] for correction in corrections for decision in correction["decisions"]]
    return found


taken = {arm: actions(arm) for arm in arms}
print("| | " + " | ".join(f"`{arm}`" for arm in arms) + " |")
print("| --- |" + " ---: |" * len(arms))
for arm in arms:
    shares = [sum(a == b for a, b in zip(taken[arm], taken[other], strict=True)) / len(taken[arm]) for other in arms]
    print(f"| `{arm}` | " + " | ".join(f"{share:.1%}" for share in shares) + " |")
