"""The reward: file changes and the last output, compared with those of the gold command.

It follows the original's ``bash_env.py`` (Yang et al., InterCode, NeurIPS 2023): 0.01, plus up to 0.33 each for the
list of changed files, the contents of new files, and the output.
"""

import math
import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from leap_exp.core.errors import EnvError
from leap_exp.envs.intercode_bash.engine.sandbox import Resource, Sandbox, SandboxEngine
from leap_exp.envs.intercode_bash.engine.shell import Quoting, decoded, read_output
from leap_exp.envs.intercode_bash.engine.trees import STATUS, FileTree

_BASE = 0.01
_PART = 0.33
_NEW = ("A", "??", "C")
"""The git states of new files."""
_WORD = re.compile(r"\b\w\w+\b")

Change = tuple[str, str]
"""A path and its git state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldResult:
    """What the gold command does to a new file tree.

    Attributes:
        output: Its output; None if it cannot be run, or if quoting is the original's and the output is not UTF-8.
        changes: The changes it makes to files.
        hashes: Hashes of the new files, by path.
        killed_for: The resource that it used too much of, so that it was killed and this is not all that it does.
    """

    output: str | None
    changes: frozenset[Change]
    hashes: Mapping[str, str]
    killed_for: Resource | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reward:
    """The parts of a reward, each rounded as in the original, and what they come from.

    Attributes:
        file_diff: The part for the list of changed files; ``file_changes`` and ``answer_similarity`` likewise.
        missing: The changes that only the gold command makes.
        extra: The changes that it does not make.
        common: The new files that both have made.
        correct: How many of these have the same content.
        similarity: How similar the outputs are, in [0, 1].
    """

    file_diff: float
    file_changes: float
    answer_similarity: float
    missing: frozenset[Change]
    extra: frozenset[Change]
    common: frozenset[Change]
    correct: int
    similarity: float

    @property
    def total(self) -> float:
        """The sum, in [0, 1] up to rounding, in the original's order of addition."""
        return _BASE + self.file_diff + self.file_changes + self.answer_similarity


def run_gold(sandbox: Sandbox, command: str, quoting: Quoting) -> GoldResult:
    """Run the gold command in a new sandbox and return what it does.

    Raises:
        EnvError: Git fails.
    """
    output, killed_for = _gold_output(sandbox, command, quoting)
    changes = _changes(sandbox)
    hashes = {path: _hash(sandbox, path) for path, state in sorted(changes) if state in _NEW}
    return GoldResult(output=output, changes=changes, hashes=hashes, killed_for=killed_for)


def gold_result(engine: SandboxEngine, tree: FileTree, command: str, quoting: Quoting, *, query: str) -> GoldResult:
    """Run the gold command of ``query`` in a sandbox of its own.

    Raises:
        EnvError: It was killed at a limit, so that nothing can be compared with it; or git fails.
    """
    with engine.open(tree) as sandbox:
        result = run_gold(sandbox, command, quoting)
    if result.killed_for:
        raise EnvError(
            f"The gold command of {query} was killed because it used too much {result.killed_for}, so the query cannot "
            f"be scored: {command}"
        )
    return result


def _gold_output(sandbox: Sandbox, command: str, quoting: Quoting) -> tuple[str | None, Resource | None]:
    try:
        result = sandbox.run(quoting.arguments(command), workdir="/")
    except ValueError:
        return None, None
    killed_for = result.exceeded if result.exit_code is None else None
    try:
        return decoded(result, quoting), killed_for
    except ValueError:
        return None, killed_for


def compute_reward(sandbox: Sandbox, output: str, gold: GoldResult) -> Reward:
    """Return the reward for the files in ``sandbox`` and the last ``output``.

    Raises:
        EnvError: Git fails.
    """
    changes = _changes(sandbox)
    missing, extra = gold.changes - changes, changes - gold.changes
    common = frozenset(change for change in changes & gold.changes if change[1] in _NEW)
    correct = sum(_hash(sandbox, path) == gold.hashes[path] for path, _ in sorted(common))
    share = correct / len(common) if common else 1.0
    similar = similarity(output, gold.output) if gold.output is not None else 0.0
    return Reward(
        file_diff=round(_PART * (1 - math.erf(len(missing) + len(extra))), 2),
        file_changes=round(_PART * share, 2),
        answer_similarity=round(_PART * similar, 2),
        missing=missing,
        extra=extra,
        common=common,
        correct=correct,
        similarity=similar,
    )


def similarity(first: str, second: str) -> float:
    """Return the cosine similarity of the TF-IDF vectors of two texts, in [0, 1] up to rounding.

    Computes what scikit-learn's ``TfidfVectorizer`` gives with its defaults, fitted on the two texts: words are runs of
    two or more letters, digits or underscores in lower case, the weight of a word in n of the texts is its count times
    1 + ln(3 / (1 + n)), and vectors have length 1. Without any words, equal texts give 1 and others 0.
    """
    counts = [Counter(_WORD.findall(text.lower())) for text in (first, second)]
    if not any(counts):
        return float(first == second)
    one, other = (_unit_vector(own, counts) for own in counts)
    return sum(value * other[word] for word, value in one.items() if word in other)


def _unit_vector(own: Mapping[str, int], counts: Sequence[Counter[str]]) -> dict[str, float]:
    weights = {
        word: count * (1 + math.log((1 + len(counts)) / (1 + sum(word in each for each in counts))))
        for word, count in own.items()
    }
    length = math.sqrt(sum(weight * weight for weight in weights.values()))
    return {word: weight / length for word, weight in weights.items()}


def _changes(sandbox: Sandbox) -> frozenset[Change]:
    result = sandbox.run(Quoting.ORIGINAL.arguments(STATUS), workdir="/")
    output = read_output(lambda: result, Quoting.ORIGINAL)
    if result.exceeded:
        raise EnvError(f"git status failed in a sandbox: {output.text[-200:].strip()}")
    return parse_status(output.text)


def parse_status(status: str) -> frozenset[Change]:
    """Return the changes in the output of ``git status --short``.

    Like the original, it takes every two words for a change, so names with blanks are read wrongly. The original
    crashes on an odd number of words; here the last word is dropped.
    """
    words = status.split()
    return frozenset(zip(words[1::2], words[::2], strict=False))


def _hash(sandbox: Sandbox, path: str) -> str:
    """Return what the original takes for a file's hash. Its image lacks md5deep, so folders all have the same one."""
    program = "md5sum" if "." in path else "md5deep -r"
    try:
        return read_output(lambda: sandbox.run(shlex.split(f"{program} {path}"), workdir="/"), Quoting.ORIGINAL).text
    except ValueError:
        return ""
