"""The reward of InterCode-Bash: changes to files and the last output, compared with what the gold command leaves.

After the original's ``bash_env.py`` (Yang et al., InterCode, NeurIPS 2023): 0.01, and 0.33 each for the list of
changes, the contents of new files, and the output.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from leap_exp.core.errors import EnvError
from leap_exp.envs.intercode_bash.sandbox import Sandbox
from leap_exp.envs.intercode_bash.shell import Quoting, read
from leap_exp.envs.intercode_bash.similarity import similarity
from leap_exp.envs.intercode_bash.version_control import STATUS

_FREE = 0.01
_PART = 0.33
_HASHED = ("A", "??", "C")
"""The states, as git has them, of new files."""

Change = tuple[str, str]
"""A path and its state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gold:
    """What the gold command leaves on a fresh file tree: output (None if it is no text), changes, and their hashes."""

    output: str | None
    changes: frozenset[Change]
    hashes: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reward:
    """The parts, each rounded as in the original, and what they were judged by."""

    file_diff: float
    file_changes: float
    answer_similarity: float
    missing: frozenset[Change]
    extra: frozenset[Change]

    @property
    def total(self) -> float:
        """In [0, 1], summed in the original's order."""
        return _FREE + self.file_diff + self.file_changes + self.answer_similarity


def run_gold(sandbox: Sandbox, command: str, quoting: Quoting) -> Gold:
    """What ``command`` leaves in ``sandbox``, which must be fresh.

    Raises:
        EnvError: Git does not answer.
    """
    answer = _read_gold(sandbox, command, quoting)
    changes = _changes(sandbox)
    hashes = {path: _hash(sandbox, path) for path, state in sorted(changes) if state in _HASHED}
    return Gold(output=answer, changes=changes, hashes=hashes)


def _read_gold(sandbox: Sandbox, command: str, quoting: Quoting) -> str | None:
    """The output of the gold command; None where the original fails to run it or to read what it says."""
    try:
        return sandbox.run(quoting.arguments(command), workdir="/").output.decode()
    except ValueError:
        return None


def judge(sandbox: Sandbox, output: str, gold: Gold) -> Reward:
    """The reward for the state of ``sandbox`` and the last ``output`` there.

    Raises:
        EnvError: Git does not answer.
    """
    changes = _changes(sandbox)
    missing, extra = gold.changes - changes, changes - gold.changes
    common = [path for path, state in sorted(changes & gold.changes) if state in _HASHED]
    share = sum(_hash(sandbox, path) == gold.hashes[path] for path in common) / len(common) if common else 1.0
    alike = similarity(output, gold.output) if gold.output is not None else 0.0
    return Reward(
        file_diff=round(_PART * (1 - math.erf(len(missing) + len(extra))), 2),
        file_changes=round(_PART * share, 2),
        answer_similarity=round(_PART * alike, 2),
        missing=missing,
        extra=extra,
    )


def _changes(sandbox: Sandbox) -> frozenset[Change]:
    outcome = sandbox.run(Quoting.ORIGINAL.arguments(STATUS), workdir="/")
    answer = read(lambda: outcome)
    if outcome.excess:
        raise EnvError(f"The changes to files could not be listed: {answer.text[-200:].strip()}")
    return parse_status(answer.text)


def parse_status(status: str) -> frozenset[Change]:
    """The changes in what ``git status --short`` prints, read as the original reads it: any two words are a change.

    So a name with blanks is read wrongly. The original crashes on an odd number of words; here the last is left out.
    """
    words = status.split()
    return frozenset(zip(words[1::2], words[::2], strict=False))


def _hash(sandbox: Sandbox, path: str) -> str:
    """What the original takes for the hash of a file; its image has no md5deep, so that folders are never compared."""
    program = "md5sum" if "." in path else "md5deep -r"
    try:
        return read(lambda: sandbox.run(shlex.split(f"{program} {path}"), workdir="/")).text
    except ValueError:
        return ""
