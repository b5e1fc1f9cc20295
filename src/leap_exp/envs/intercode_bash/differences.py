"""Why a recorded turn comes out otherwise when it is played again: rules, as data.

Most reasons are shown to be the reason: with what the rule is about made alike on both sides, both are equal. The
others are a matter of what the command asks for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

CLOCK, ORDER, RACE, ARCHIVE = "clock", "order of folders", "two writers at a time", "archives of the trees"
HOST, KERNEL, PROCESSOR, DISK = "name of the machine", "kernel and its processes", "processor", "disk"
NETWORK, IMAGE = "network", "files and versions of the image"

REASONS = {
    CLOCK: "The output tells when files were written or archives made, or depends on how much time passed.",
    ARCHIVE: "Bytes and contents of the archives in the file trees, which the dump has from another set-up.",
    ORDER: "The same lines or words: find, grep and tar go through a folder in the order that its disk keeps.",
    RACE: "Two programs write at the same time, such as tar and the gzip that it has started and that fails.",
    HOST: "A container's name is drawn at random.",
    KERNEL: "Release, load, processes and /sys of the recording's machine.",
    PROCESSOR: "0/0 is nan on the ARM processor of the recording, and -nan on others; or the number of processors.",
    DISK: "How full the disk is.",
    NETWORK: "Sandboxes have none, the recording had.",
    IMAGE: "What the ARM image has in its system folders (no /lib64) and in /sys, and the release of its tools.",
}
"""What stands behind the reasons."""


@dataclass(frozen=True, slots=True)
class _Likeness:
    """Makes outputs alike that differ for ``reason``."""

    reason: str
    apply: Callable[[str], str]


def _hide(reason: str, pattern: str) -> _Likeness:
    compiled = re.compile(pattern)
    return _Likeness(reason, lambda text: compiled.sub("_", text))


_LIKENESSES = (
    _hide(CLOCK, r"\b[A-Z][a-z]{2} [ \d]\d +(\d\d:\d\d|\d{4})|\b\d{4}-\d\d-\d\d \d\d:\d\d"),
    _hide(ARCHIVE, r"\d+(?= _ \S*\.tar\.gz)|\b[0-9a-f]{32}(?=  \S*\.tar\.gz)|(?<=\.tar\.gz )[0-9a-f]{32}"),
    _hide(HOST, r"\b[0-9a-f]{12}\b"),
    _hide(PROCESSOR, r"-?\bnan\b"),
    _Likeness(ORDER, lambda text: "\n".join(sorted(text.splitlines()))),
)
"""In the order in which they are applied."""

_ASKED = (
    (NETWORK, r"\b(dig|curl|ping)\b"),
    (KERNEL, r"\buname\b|\b(ps|uptime|top|w) |/proc/loadavg|\b(tar|grep) .* \.( |$)"),
    (RACE, r"\btar -czf /backup/"),
    (DISK, r"\bdf\b"),
    (PROCESSOR, r"\bnproc\b"),
    (CLOCK, r"\bcal\b|-mmin|%T|%t"),
    (IMAGE, r"\bfind (/testbed )?(/|\$\{DIRECTORY\}|-name) |/var/log|/etc/group|_VERSION|\bwhich\b|\btar .* \*$|ls -p"),
    (ARCHIVE, r"\bmd5sum\b|\btar -ztvf"),
)
"""What a command that matches asks for; the first that does counts."""
_MADE = (CLOCK, r"\btar -?\w*c")
"""What the reward has from a gold command that makes an archive: its bytes hold the times of files."""


def are_alike(recorded: str, observed: str) -> bool:
    """Whether two outputs are equal once times, archives' bytes, names, signs of nan and the order of lines are."""
    return _alike(recorded, _LIKENESSES) == _alike(observed, _LIKENESSES)


def explain_output(action: str, gold: str, recorded: str, observed: str) -> Sequence[str]:
    """Why the output of ``action`` is not the recorded one; nothing if no rule tells.

    What ``gold`` asks for, the request is about: so it counts where the action itself does not tell.
    """
    if shown := _shown(recorded, observed):
        return shown
    if sorted(recorded) == sorted(observed):
        return (RACE,)
    return _asked(action, _ASKED) or _asked(gold, _ASKED)


def explain_reward(action: str, gold: str) -> Sequence[str]:
    """Why the reward of ``action`` is not the recorded one; nothing if no rule tells.

    The output of the gold command was not recorded: what it asks for is all that is known of it.
    """
    return _asked(gold, (*_ASKED, _MADE)) or _asked(action, _ASKED)


def _shown(recorded: str, observed: str) -> Sequence[str]:
    """The reasons without one of which the two would not be alike; none if they are not alike with all."""
    if not are_alike(recorded, observed):
        return ()
    needed = list(_LIKENESSES)
    for likeness in _LIKENESSES:
        fewer = [other for other in needed if other is not likeness]
        if _alike(recorded, fewer) == _alike(observed, fewer):
            needed = fewer
    return [likeness.reason for likeness in needed]


def _alike(text: str, likenesses: Sequence[_Likeness]) -> str:
    for likeness in likenesses:
        text = likeness.apply(text)
    return text


def _asked(command: str, rules: Sequence[tuple[str, str]]) -> Sequence[str]:
    return [reason for reason, pattern in rules if re.search(pattern, command)][:1]
