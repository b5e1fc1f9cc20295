"""``leap bench imports``: what importing and opening an environment takes in a fresh interpreter."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from statistics import median
from typing import Annotated

import typer

from leap_exp.core.errors import EnvError
from leap_exp.core.extras import TRAINING_PACKAGES

_ENVIRONMENTS = (
    "leap_exp.envs.alfworld.environment",
    "leap_exp.envs.intercode_bash.environment",
    "leap_exp.envs.webshop.environment",
)
_WITH_GYMNASIUM = ("leap_exp.interfaces.gymnasium", "leap_exp.interfaces.gymnasium.env")

_PROGRAM = rf"""
import json, re, sys, time
start, cpu_start = time.perf_counter(), time.process_time()
__import__(sys.argv[1])
seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
# The peak of this program alone; getrusage would start from that of the program that started it.
megabytes = int(re.search(r"VmHWM:\s*(\d+) kB", open("/proc/self/status").read())[1]) * 1024 / 1e6
training = [name for name in {TRAINING_PACKAGES!r} if name in sys.modules]
print(json.dumps(dict(seconds=seconds, cpu_seconds=cpu_seconds, megabytes=megabytes, training=training)))
"""

Result = Mapping[str, object]


def imports(
    repeats: Annotated[int, typer.Option(help="Fresh interpreters per module; the median counts.", min=1)] = 7,
) -> None:
    """Measure the seconds and the peak memory of importing each environment and the interface for Gymnasium."""
    results = {name: measure_import(name, repeats=repeats) for name in importable_modules()}
    for name, result in results.items():
        seconds = f"{result['seconds']:.2f} s, {result['cpu_seconds']:.2f} s of a processor"
        print(f"{name}: {seconds}, {result['megabytes']:.0f} MB", file=sys.stderr)
    print(json.dumps({"benchmark": "imports", "repeats": repeats, "modules": results}))


def importable_modules() -> Sequence[str]:
    """Return the modules to measure; those for Gymnasium only if it is installed."""
    return _ENVIRONMENTS + (_WITH_GYMNASIUM if find_spec("gymnasium") else ())


def measure_import(module: str, *, repeats: int) -> Result:
    """Import ``module`` in fresh interpreters.

    Returns:
        The medians of ``seconds``, of ``cpu_seconds``, which other work on the machine hardly changes, and of the peak
        in ``megabytes`` (1e6 bytes, the interpreter's own included); and the packages for ``training`` that were
        imported with it.

    Raises:
        EnvError: It cannot be imported.
    """
    found = []
    for _ in range(repeats):
        done = subprocess.run([sys.executable, "-c", _PROGRAM, module], capture_output=True, text=True, check=False)
        if done.returncode:
            raise EnvError(f"{module} cannot be imported: {done.stderr.strip().splitlines()[-1]}")
        found.append(json.loads(done.stdout))
    return {
        **{name: round(median(each[name] for each in found), 3) for name in ("seconds", "cpu_seconds")},
        "megabytes": round(median(each["megabytes"] for each in found), 1),
        "training": found[0]["training"],
    }
