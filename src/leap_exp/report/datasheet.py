"""The datasheet of an exported data set (after Gebru et al. 2021), which the Hugging Face hub reads as its card."""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from leap_exp.runs import write_whole

_CONFIGS = {
    "trajectories": "trajectories.jsonl",
    "messages": "chat_messages.jsonl",
    "prompt_completion": "chat_prompt_completion.jsonl",
    "preference": "chat_preference.jsonl",
}
"""The file that ``datasets`` reads under each name; it takes one format for a folder."""


def write_datasheet(folder: Path, facts: Mapping[str, object], written: Sequence[Mapping[str, Any]]) -> Path:
    """Write the datasheet of the files ``written`` to ``folder`` and return its path."""
    names = {file["name"] for file in written if file["rows"]}
    configs = {name: file for name, file in _CONFIGS.items() if file in names}
    template = files("leap_exp.report").joinpath("datasheet.md.j2").read_text(encoding="utf-8")
    # The result is Markdown, not HTML.
    environment = Environment(trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)  # noqa: S701
    path = folder / "README.md"
    write_whole(path, [environment.from_string(template).render(**facts, configs=configs, files=written)])
    return path
