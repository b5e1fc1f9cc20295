"""Rules that explain why a logged action gives another result when it is replayed.

Most reasons are verified: two outputs are equal once the rule has removed what it is about, such as times. The other
reasons are inferred from what the command does.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

CLOCK, ORDER, RACE, ARCHIVE = "clock", "order of folders", "two writers at a time", "archives of the trees"
HOST, KERNEL, PROCESSOR, DISK = "name of the machine", "kernel and its processes", "processor", "disk"
NETWORK, IMAGE = "network", "files and versions of the image"
INODES, BLOCKS, VERSION = "inode numbers", "block sizes", "another version of the file system"
PIPELINE = "order inside a pipeline"

REASONS = {
    CLOCK: "The output shows when files or archives were written, or depends on how much time has passed.",
    ARCHIVE: "The archives in the file trees differ: the dump of the file system comes from another set-up.",
    ORDER: "The lines or words are the same: find, grep and tar list a folder in the order of its file system.",
    PIPELINE: "A program takes some of the lines that find, grep or tar list, by their place in the folder's order.",
    RACE: "Two programs write at the same time, such as tar and the failing gzip that it started.",
    HOST: "The host name of a container is random.",
    KERNEL: "Kernel release, load, processes and /sys of the machine that was logged.",
    PROCESSOR: "0/0 is nan on the logged ARM processor and -nan on others; or the number of processors differs.",
    DISK: "The disk is filled differently.",
    INODES: "The file system numbers its files.",
    BLOCKS: "How many blocks a file or folder takes depends on the file system.",
    VERSION: "Lines about files that the tree does not have were logged, or lines about files that it has were not.",
    NETWORK: "Sandboxes have no network; the logged containers had one.",
    IMAGE: "The logged ARM image has other system folders (no /lib64), another /sys and other versions of its tools.",
}
"""What the reasons mean."""


@dataclass(frozen=True, slots=True)
class _Normalisation:
    """Removes the differences that have this ``reason`` from an output."""

    reason: str
    apply: Callable[[str], str]


def _hide(reason: str, pattern: str) -> _Normalisation:
    compiled = re.compile(pattern)
    return _Normalisation(reason, lambda text: compiled.sub("_", text))


_NORMALISATIONS = (
    _hide(CLOCK, r"\b[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d( [AP]M)?( [A-Z]+)? \d{4}"),
    _hide(CLOCK, r"\b[A-Z][a-z]{2} [ \d]\d +(\d\d:\d\d|\d{4})|\b\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d(\.\d+)?)?"),
    _hide(INODES, r"(?m)^ *\d+(?= +\d+ [-dlbcps][-rwxsStT]{9} )|(?<=Inode: )\d+"),
    _hide(
        BLOCKS,
        r"(?m)(?<=[\d_]) +\d+(?= [-dlbcps][-rwxsStT]{9} )|^[\d.]+[KMGT]?(?=\t[/.])|^total [\d.]+[KMGT]?$"
        r"|(?<=Blocks: )\d+ +",
    ),
    _hide(ARCHIVE, r"\d+(?= _ \S*\.tar\.gz)|\b[0-9a-f]{32}(?=  \S*\.tar\.gz)|(?<=\.tar\.gz )[0-9a-f]{32}"),
    _hide(HOST, r"\b[0-9a-f]{12}\b"),
    _hide(PROCESSOR, r"-?\bnan\b"),
    _Normalisation(ORDER, lambda text: "\n".join(sorted(text.splitlines()))),
)
"""Applied in this order."""

_BY_COMMAND = (
    (NETWORK, r"\b(dig|curl|ping)\b"),
    (KERNEL, r"\buname\b|\b(ps|uptime|top|w) |/proc/loadavg|\b(tar|grep) .* \.( |$)"),
    (RACE, r"\btar -czf /backup/"),
    (DISK, r"\bdf\b"),
    (PROCESSOR, r"\bnproc\b"),
    (CLOCK, r"\bcal\b|\bdate\b|-mmin|%T|%t"),
    (IMAGE, r"\bfind (/testbed )?(/|\$\{DIRECTORY\}|-name) |/var/log|/etc/group|_VERSION|\bwhich\b|\btar .* \*$|ls -p"),
    (ARCHIVE, r"\bmd5sum\b|\btar -ztvf"),
    (INODES, r"\bls -\w*i|-printf .*%i|\bstat\b.*%i"),
    (BLOCKS, r"\bdu\b|\bls -\w*s|-printf .*%[bk]"),
)
"""The reason for a command that matches a pattern; the first match counts."""
_LISTED = (
    PIPELINE,
    r"\b(find|grep -\w*r|ls -\w*[fU]|tar)\b.*\|"
    r".*\b(head|tail|sed|awk|nl|cat -n|xargs|\w+sum|tr|paste|column|while|uniq)\b",
)
"""For outputs of equally many lines, and for gold commands."""
_ARCHIVING = (CLOCK, r"\btar -?\w*c")
"""For rewards only: an archive that a gold command makes contains the times of its files."""


_PATH = re.compile(r"/[\w.+-]+(?:/[\w.+-]+)+")


def equal_normalised(logged: str, replayed: str) -> bool:
    """Return whether two outputs are equal up to what depends on the machine, which ``_NORMALISATIONS`` remove."""
    return _normalise(logged, _NORMALISATIONS) == _normalise(replayed, _NORMALISATIONS)


def explain_output(
    action: str, gold: str, logged: str, replayed: str, files: frozenset[str] = frozenset()
) -> Sequence[str]:
    """Return the reasons why the outputs of ``action`` differ; empty if no rule applies.

    If the action itself gives no reason, the gold command may: it shows what the query is about. ``files`` are the
    paths in the file tree of the query.
    """
    if verified := _verified(logged, replayed):
        return verified
    if sorted(logged) == sorted(replayed):
        return (RACE,)
    if reasons := _by_command(action, _BY_COMMAND) or _by_command(gold, _BY_COMMAND):
        return reasons
    if logged.strip() and logged.count("\n") == replayed.count("\n") and (reasons := _by_command(action, [_LISTED])):
        return reasons
    return (VERSION,) if _names_other_files(logged, replayed, files) else ()


def _names_other_files(logged: str, replayed: str, files: frozenset[str]) -> bool:
    """Return whether the outputs have the same lines except for those that name files of another tree than ``files``.

    That is, a line that was only logged has a path in a top folder of the tree that is not in the tree, and a line that
    was only replayed has one that is.
    """
    tops = {path.split("/")[1] for path in files}
    before, now = set(logged.splitlines()), set(replayed.splitlines())
    gone = [{path for path in _PATH.findall(line) if path.split("/")[1] in tops} for line in before - now]
    new = [set(_PATH.findall(line)) for line in now - before]
    return bool(gone or new) and all(paths - files for paths in gone) and all(paths & files for paths in new)


def explain_reward(action: str, gold: str) -> Sequence[str]:
    """Return the reasons why the rewards of ``action`` differ; empty if no rule applies.

    The output of the gold command was not logged, so its words are the only evidence.
    """
    return _by_command(gold, (*_BY_COMMAND, _ARCHIVING, _LISTED)) or _by_command(action, _BY_COMMAND)


def _verified(logged: str, replayed: str) -> Sequence[str]:
    """Return the reasons whose normalisations are needed to make the outputs equal; empty if all are not enough."""
    if not equal_normalised(logged, replayed):
        return ()
    needed = list(_NORMALISATIONS)
    for normalisation in _NORMALISATIONS:
        fewer = [other for other in needed if other is not normalisation]
        if _normalise(logged, fewer) == _normalise(replayed, fewer):
            needed = fewer
    return list(dict.fromkeys(normalisation.reason for normalisation in needed))


def _normalise(text: str, normalisations: Sequence[_Normalisation]) -> str:
    for normalisation in normalisations:
        text = normalisation.apply(text)
    return text


def _by_command(command: str, rules: Sequence[tuple[str, str]]) -> Sequence[str]:
    return [reason for reason, pattern in rules if re.search(pattern, command)][:1]
