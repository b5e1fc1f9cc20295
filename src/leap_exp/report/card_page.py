"""A results card as a page of Markdown."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from leap_exp.analysis.cost import UNITS
from leap_exp.runs import write_whole

PAGE_FILE = "card.md"
COSTS: Mapping[str, tuple[str, str]] = {
    "labels": ("labels of expert and teacher", "1,000 labels"),
    "tokens_read": ("tokens read", "million tokens"),
    "tokens_written": ("tokens written", "million tokens"),
    "core_seconds": ("core-seconds", "core-hour"),
    "gpu_seconds": ("GPU-seconds", "GPU-hour"),
    "dollars": ("dollars", "dollar"),
}
"""What a cost is called, and the amount of it that a gain is divided by (``UNITS``)."""


def write_card_page(card: Mapping[str, Any], folder: Path) -> Path:
    """Write ``card`` as Markdown to ``folder`` and return the file."""
    path = folder / PAGE_FILE
    write_whole(path, list(_lines(card)))
    return path


def _lines(card: Mapping[str, Any]) -> Iterator[str]:
    result, panel = card["result"], card["panel"]
    low, high = result["success_ci95"]
    yield "# Results card\n"
    interval = f"95 % interval {low:.1%} to {high:.1%}"
    yield f"**{result['success_rate']:.1%}** success ({interval}) on {panel['tasks']} tasks.\n"
    yield " ".join(["    leap run", *map(_quoted, card["arguments"])]) + "\n"
    yield from _table(("", "value"), _facts(card))
    yield "\n## Cost\n"
    cost = card["cost"]
    gained = cost["gained"]
    if gained is not None:
        yield f"Gained since round 0: {100 * gained:+.1f} percentage points.\n"
    rows = []
    for name in UNITS:
        heading, unit = COSTS[name]
        per = cost["gained_per"][name]
        rows.append((heading, f"{cost[name]:,.10g}", "" if per is None else f"{_amount(100 * per)} points per {unit}"))
    yield from _table(("", "amount", "success gained"), rows)
    for part, heading in (("environment", "environment"), ("kind", "type of task")):
        if rates := result.get(f"success_by_{part}"):
            yield f"\n## By {heading}\n"
            yield from _table((heading, "success"), [(name, f"{rate:.1%}") for name, rate in sorted(rates.items())])
    yield "\nRepeat it with `leap eval --verify card.json`."


def _facts(card: Mapping[str, Any]) -> list[tuple[str, str]]:
    result, panel = card["result"], card["panel"]
    rows: list[tuple[str, str]] = [
        ("panel", f"{panel.get('name') or 'drawn'}, split {panel['split']}"),
        ("panel hash", panel["hash"]),
        ("hash of the panel's contents", panel.get("contents_sha256", "")),
        ("protocol", (card["protocol"] or {}).get("name", "none: the settings of the run")),
        ("seeds", ", ".join(map(str, card["seeds"]))),
        ("success by seed", ", ".join(f"{rate:.1%}" for rate in result["success_by_seed"])),
        ("score", f"{result['score_mean']:.3f}"),
        ("steps", f"{result['steps_mean']:.1f}"),
        ("invalid actions", f"{result['invalid_action_rate']:.1%}"),
        ("episodes without a score", str(result["unscored"])),
    ]
    if result["success_seeds_ci95"]:
        low, high = result["success_seeds_ci95"]
        rows.append(("95 % interval over seeds", f"{low:.1%} to {high:.1%}"))
    rows += [(f"student: {name.replace('_', ' ')}", _text(value)) for name, value in card["student"].items()]
    git = card["versions"].get("git") or {}
    rows.append(("commit", git.get("commit", "not from a checkout")))
    rows += [(name, str(version)) for name, version in card["versions"].items() if name != "git"]
    rows += [(name.replace("_", " "), _text(value)) for name, value in card["machine"].items()]
    return [row for row in rows if row[1]]


def _text(value: object) -> str:
    """Return a value of a card as text, empty if there is none."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def _amount(value: float) -> str:
    """Return a gain with its sign, three digits of it or all before the point."""
    return f"{value:+,.0f}" if abs(value) >= 100 else f"{value:+.3g}"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for cells in (headings, ["---"] * len(headings), *rows):
        yield "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def _quoted(word: str) -> str:
    return f'"{word}"' if any(mark in word for mark in " '{}[]&;") else word
