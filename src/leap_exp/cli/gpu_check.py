"""``make gpu-check``: the ``gpu`` tests and the benches of acting and training, within six minutes.

It needs Python with torch, transformers, peft, typer, pyyaml, regex and jinja2, no network and no installation:

    PYTHONPATH=src python3 -m leap_exp.cli.gpu_check --device cuda
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

_REPOSITORY = Path(__file__).parents[3]
_SECONDS = 350.0
_BENCH_SHARE = 0.33
"""Share of the time that each bench gets at most; the tests get what is left."""
_LOADING_SHARE = 0.35
"""Share of a bench's time that is left for imports, loading and the last step; the rest is its own limit."""
_NEEDED = {"tests": ("pytest", "peft"), "train": ("peft",), "engine": ("peft",)}
_LAST_LINES = 15


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    command: list[str]
    seconds: float


def main(
    device: Annotated[str, typer.Option(help="cuda, or cpu to try the check itself.")] = "cuda",
    shape: Annotated[str, typer.Option(help="Random weights: tiny, 135m or 8b.")] = "8b",
    model: Annotated[str | None, typer.Option(help="Instead: folder with weights.")] = None,
    seconds: Annotated[float, typer.Option(help="Time for everything.")] = _SECONDS,
    only: Annotated[list[str] | None, typer.Option(help="tests, train or engine; repeat for several.")] = None,
) -> None:
    """Run the tests that need a GPU and both benches, and print their results as one JSON object."""
    deadline = time.monotonic() + seconds
    parts = [part for part in _parts(device, shape, model, seconds) if not only or part.name in only]
    results = {part.name: _run(part, deadline) for part in parts}
    text = json.dumps({"benchmark": "gpu-check", **results})
    _write("gpu_check.json", f"{text}\n")
    print(text)
    raise typer.Exit(int(any(result["status"] == "failed" for result in results.values())))


def _write(name: str, text: str) -> None:
    """Write a file to the folder in the variable OUT, if it is set."""
    if folder := os.environ.get("OUT"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / name).write_text(text, encoding="utf-8")


def _parts(device: str, shape: str, model: str | None, seconds: float) -> list[_Part]:
    weights = ["--model", model] if model else ["--shape", shape]
    marker = "gpu" if device.startswith("cuda") else "gpu or not gpu"
    parts = []
    for name in ("train", "engine"):
        run = f"import typer; from leap_exp.cli.bench_{name} import {name}; typer.run({name})"
        limit = _BENCH_SHARE * seconds
        options = ["--device", device, *weights, "--seconds", f"{(1 - _LOADING_SHARE) * limit:.0f}"]
        parts.append(_Part(name, [sys.executable, "-c", run, *options], limit))
    tests = [sys.executable, "-m", "pytest", "-v", "--tb=short", "-m", marker, "-p", "no:cacheprovider", "tests/gpu"]
    return [*parts, _Part("tests", tests, seconds)]


def _run(part: _Part, deadline: float) -> dict[str, object]:
    """Run a part and return what became of it: its status, its seconds, and the JSON object that it printed."""
    missing = [package for package in _NEEDED[part.name] if not find_spec(package)]
    if missing:
        return {"status": "skipped", "reason": f"{', '.join(missing)} is not installed"}
    seconds = max(1.0, min(part.seconds, deadline - time.monotonic()))
    print(f"{part.name} (at most {seconds:.0f} s)", file=sys.stderr, flush=True)
    path = os.pathsep.join(filter(None, [str(_REPOSITORY / "src"), os.environ.get("PYTHONPATH")]))
    # Unbuffered, so that what a part printed before its time was up is kept.
    settings = {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    start = time.monotonic()
    try:
        done = subprocess.run(
            part.command,
            cwd=_REPOSITORY,
            env={**os.environ, **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
        )
        output, status = done.stdout, "passed" if done.returncode in (0, 5) else "failed"
    except subprocess.TimeoutExpired as late:
        output, status = (late.stdout or b"").decode(errors="replace"), "out of time"
    _write(f"{part.name}.log", output)
    lines = output.strip().splitlines()
    result: dict[str, object] = {"status": status, "seconds": round(time.monotonic() - start, 1)}
    printed = next((line for line in reversed(lines) if line.startswith('{"benchmark"')), None)
    if printed is not None:
        return {**result, "result": json.loads(printed)}
    return {**result, "output": lines[-1 if status == "passed" else -_LAST_LINES :]}


if __name__ == "__main__":
    typer.run(main)
