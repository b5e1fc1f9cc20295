"""Sandboxes of bubblewrap: no container engine, no service, nothing that stays.

An episode is a mount namespace of its own that holds an overlay: the base and the prepared file tree below, and above
them a memory file system of bounded size that takes what is written. It has a process namespace as well, whose first
process waits until a pipe of this process closes; with it the kernel ends all that runs in the episode. So everything
goes with this process, whenever that is killed. A command enters both namespaces and is wrapped by bubblewrap, with
process, network, IPC and host-name namespaces of its own; whatever it leaves in the background ends with it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import subprocess
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path

from leap_exp.core.errors import EnvError
from leap_exp.envs.installation import data_folder
from leap_exp.envs.intercode_bash.bases import Base, open_base
from leap_exp.envs.intercode_bash.commands import capture, family
from leap_exp.envs.intercode_bash.residue import find_residue
from leap_exp.envs.intercode_bash.sandbox import Limits, Outcome, Sandbox
from leap_exp.envs.intercode_bash.shell import SHELL
from leap_exp.envs.intercode_bash.trees import FileTree
from leap_exp.envs.intercode_bash.version_control import GIT_IGNORE, PREPARE

_VERSION = 1
_PROGRAMS = ("bwrap", "unshare", "nsenter", "prlimit", "mount")
_NOT_FOUND, _NOT_STARTED = 127, 126
_PREPARING_SECONDS = 120.0

# Root of a sandbox is root of the machine to these files, whatever its namespaces (the list is Docker's).
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
_MASKED = ("/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug", "/proc/timer_list")

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOSTNAME": "sandbox",
    "HOME": "/root",
}
CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_RAW", "SETGID", "SETUID")
"""What root may do in a sandbox: deal with files and users, ping itself, and nothing that reaches the machine."""

# $1 mount point, $2 lower folders, $3 options; $4 size of the upper layer in MiB, or the folder that is to become it.
_MOUNT = """
case $4 in
/*) upper=$4 ;;
*) mount -t tmpfs -o "size=$4m,nr_inodes=16k,mode=755" tmpfs "$1" && mkdir "$1/upper" && upper=$1/upper ;;
esac &&
work=${upper%/*}/work && mkdir -p "$work" "${upper%/*}/root" &&
mount -t overlay -o "lowerdir=$2,upperdir=$upper,workdir=$work$3" overlay "${upper%/*}/root" &&
mount --bind "${upper%/*}/root" "$1" && echo mounted && read -r _
"""


class BubblewrapEngine:
    """Sandboxes on ``base`` ("host" or "rootfs"), each command within ``limits``.

    With ``resident``, a sandbox is as the original's containers are: it has a host name of its own, what is written
    lies on the disk and is not bounded, and commands run beside a first process, so that what they leave in the
    background runs on, within no limits, until the sandbox is closed.

    Raises:
        EnvError: bubblewrap or something else that is needed is not installed, or may not be used here.
        LeapError: The base is not there.
    """

    name = "bubblewrap"

    def __init__(self, *, base: str, limits: Limits, resident: bool = False) -> None:
        if missing := [program for program in _PROGRAMS if not shutil.which(program)]:
            raise EnvError(
                f"{missing[0]} is not installed: install the packages bubblewrap and util-linux (apt-get install "
                "bubblewrap), or take env.sandbox=docker."
            )
        self._cache = data_folder() / "intercode" / "sandboxes"
        self._mount_point = self._cache / "mounted"
        try:
            self._mount_point.mkdir(parents=True, exist_ok=True)
            self._base = open_base(base, self._cache)
        except OSError as error:
            raise EnvError(
                f"Sandboxes cannot be made in {self._cache} ({error.strerror}): let LEAP_DATA name a folder that "
                "may be written to."
            ) from error
        self._limits = limits
        self._resident = resident
        self._numbers = count(1)
        self._started = time.time()
        _remove_orphans(self._cache)
        weakref.finalize(self, _remove_own, self._cache, self._started)

    @contextmanager
    def open(self, tree: FileTree) -> Iterator[Sandbox]:
        """A fresh sandbox with ``tree``; the first time that a tree is asked for it is put under version control."""
        lower = [self._layer(tree), self._base.folder]
        variables = dict(tree.variables)
        if not self._resident:
            with self._machine(lower, str(self._limits.disk_mib), self._limits, variables) as machine:
                yield machine
            return
        name = hashlib.sha256(f"sandbox {next(self._numbers)}".encode()).hexdigest()[:12]
        folder = self._cache / f"{_own_prefix(self._started)}{name}"
        (folder / "upper").mkdir(parents=True)
        try:
            with (
                self._machine(lower, str(folder / "upper"), self._limits, {**variables, "HOSTNAME": name}) as machine,
                machine.first_process(),
            ):
                yield machine
        finally:
            _remove(folder)

    def leftovers(self) -> Mapping[str, Sequence[str]]:
        """What there is of sandboxes on this machine: a line each, by kind. Those that are open count as well."""
        return find_residue(self._cache, self._mount_point)

    @contextmanager
    def _machine(
        self, lower: Sequence[Path], upper: str, limits: Limits, environment: Mapping[str, str]
    ) -> Iterator[_Machine]:
        """A sandbox over the folders ``lower``, the topmost first; ``upper`` as for ``_MOUNT``."""
        with _mounted(self._mount_point, lower, upper) as namespaces:
            yield _Machine(self._mount_point, namespaces, self._base, limits, {**ENVIRONMENT, **environment})

    def _layer(self, tree: FileTree) -> Path:
        """The folder with ``tree`` as it is when an episode begins, to lie over the base."""
        contents = repr((_VERSION, _is_root(), self._base.identity, PREPARE, GIT_IGNORE, tree.digest))
        name = hashlib.sha256(contents.encode()).hexdigest()[:16]
        # A tree whose files have an age is made anew for every process.
        folder = self._cache / (f"tree-{name}" if tree.made is None else f"{_own_prefix(self._started)}{name}")
        layer = folder / "layer"
        if not layer.is_dir():
            fresh = folder.with_name(f"{folder.name}.{os.getpid()}.part")
            _remove(fresh)
            (fresh / "layer").mkdir(parents=True)
            tree.write(fresh / "layer", now=self._started)
            (fresh / "layer" / ".gitignore").write_text(GIT_IGNORE)
            limits = Limits(seconds=_PREPARING_SECONDS)
            with self._machine([self._base.folder], str(fresh / "layer"), limits, {}) as machine:
                outcome = machine.run(["/bin/bash", "-c", PREPARE], workdir="/")
            if outcome.exit_code != 0:
                text = outcome.output.decode(errors="replace").strip()
                raise EnvError(f"The file tree {tree.name!r} could not be put under version control: {text}")
            try:
                fresh.rename(folder)
            except OSError:
                # Another process was quicker.
                _remove(fresh)
        return layer


class _Machine:
    """A mounted overlay in which commands are run; a ``Sandbox``."""

    def __init__(
        self, root: Path, namespaces: Mapping[str, int], base: Base, limits: Limits, environment: Mapping[str, str]
    ) -> None:
        self._limits = limits
        self._descriptors = tuple(namespaces.values())
        self._prefix = [
            *("nsenter", *(f"--{kind}=/proc/self/fd/{number}" for kind, number in namespaces.items())),
            *(() if _is_root() else ("--preserve-credentials",)),
            *("prlimit", f"--as={limits.memory_mib << 20}", f"--fsize={limits.disk_mib << 20}", "--core=0"),
            *("bwrap", "--bind", str(root), "/"),
            *(word for path in base.shown for word in ("--ro-bind", path, path)),
            *("--dev", "/dev", "--proc", "/proc"),
            *(word for path in _READ_ONLY for word in ("--ro-bind-try", path, path)),
            *(word for path in _MASKED if Path(path).exists() for word in ("--ro-bind", "/dev/null", path)),
            *("--unshare-net", "--unshare-ipc", "--unshare-uts", "--hostname", environment["HOSTNAME"]),
            *("--die-with-parent", "--new-session", "--cap-drop", "ALL"),
            *(word for name in CAPABILITIES for word in ("--cap-add", f"CAP_{name}")),
            *("--clearenv", *(word for name, value in environment.items() for word in ("--setenv", name, value))),
        ]
        self._processes = ["--unshare-pid"]

    @contextmanager
    def first_process(self) -> Iterator[None]:
        """Have a shell that waits, and run all commands beside it, as long as the context lasts."""
        reading, writing = os.pipe()
        command = [*self._prefix, "--unshare-pid", "--as-pid-1", "--info-fd", str(writing), "--", SHELL]
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(*self._descriptors, writing),
        ) as shell:
            os.close(writing)
            with os.fdopen(reading, encoding="utf-8") as information:
                # What it says does not matter: it comes once the shell is there. The pipe stays open.
                next((line for line in information if "}" in line), None)
            *_, first = family(shell.pid)
            try:
                namespace = os.open(f"/proc/{first}/ns/pid_for_children", os.O_RDONLY)
            except OSError as error:
                shell.kill()
                raise EnvError(f"No first process could be started in a sandbox ({error}).") from error
            self._descriptors = (*self._descriptors, namespace)
            self._processes = ["--pidns", str(namespace)]
            try:
                yield
            finally:
                os.close(namespace)
                shell.kill()

    def run(self, arguments: Sequence[str], *, workdir: str) -> Outcome:
        """Run a program to its end; what it leaves in the background is ended with it."""
        command = [*self._prefix, *self._processes, "--chdir", workdir, "--", *arguments]
        outcome = capture(command, limits=self._limits, descriptors=self._descriptors)
        return _as_docker_says(outcome, arguments[0], workdir)


@contextmanager
def _mounted(mount_point: Path, lower: Sequence[Path], upper: str) -> Iterator[dict[str, int]]:
    """Descriptors of fresh namespaces, by kind, in which the overlay is mounted on ``mount_point``."""
    new = ["--mount", "--pid"] if _is_root() else ["--user", "--map-root-user", "--mount", "--pid"]
    options = "" if _is_root() else ",userxattr"
    folders = ":".join(str(folder) for folder in lower)
    command = ["sh", "-c", _MOUNT, "sh", str(mount_point), folders, options, upper]
    with subprocess.Popen(
        ["unshare", *new, "--fork", "--propagation", "private", "--mount-proc", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout and process.stderr  # noqa: S101 - they are pipes
        if process.stdout.readline() != b"mounted\n":
            said = process.stderr.read().decode(errors="replace").strip()
            raise EnvError(
                f"No sandbox can be mounted here ({said or 'no reason given'}). bubblewrap needs root, or user "
                "namespaces and Linux 6.6 (which containers often forbid); else take env.sandbox=docker."
            )
        kinds = {"mount": "mnt", "pid": "pid_for_children"} | ({} if _is_root() else {"user": "user"})
        with ExitStack() as stack:
            descriptors = {}
            for kind, name in kinds.items():
                descriptors[kind] = os.open(f"/proc/{process.pid}/ns/{name}", os.O_RDONLY)
                stack.callback(os.close, descriptors[kind])
            yield descriptors


def _as_docker_says(outcome: Outcome, program: str, workdir: str) -> Outcome:
    """``outcome`` with Docker's words where bubblewrap could not start the program."""
    failed = "OCI runtime exec failed: exec failed: unable to start container process: "
    if re.fullmatch(rb"bwrap: Can't chdir to .*: (.*)\n", outcome.output, re.DOTALL):
        cause = "not a directory" if b"Not a directory" in outcome.output else "no such file or directory"
        text = f'{failed}chdir to cwd ("{workdir}") set in config.json failed: {cause}: unknown\r\n'
        return Outcome(output=text.encode(), exit_code=_NOT_STARTED)
    if re.fullmatch(rb"bwrap: execvp .*: No such file or directory\n", outcome.output, re.DOTALL):
        text = f'{failed}exec: "{program}": executable file not found in $PATH: unknown\r\n'
        return Outcome(output=text.encode(), exit_code=_NOT_FOUND)
    return outcome


def _own_prefix(started: float) -> str:
    """How the names begin of folders that an engine of this process makes for itself alone."""
    return f"fresh-{os.getpid()}-{started}-"


def _remove_own(cache_folder: Path, started: float) -> None:
    """Remove them once the engine is no longer used. A fork of the process removes its own, and only those."""
    for path in sorted(cache_folder.glob(f"{_own_prefix(started)}*")):
        _remove(path)


def _remove_orphans(cache_folder: Path) -> None:
    """Remove what processes that have ended left unfinished, or made for themselves."""
    for path in sorted(cache_folder.iterdir()):
        owner = re.fullmatch(r"fresh-(\d+)-.*|.*\.(\d+)\.part", path.name)
        if owner and not Path(f"/proc/{owner[1] or owner[2]}").exists():
            _remove(path)


def _remove(folder: Path) -> None:
    """Remove ``folder`` whatever its modes: an overlay leaves folders that their owner, unless root, may not read."""
    for parent, names, _ in os.walk(folder):
        for path in (Path(parent, name) for name in names):
            # Another process may be removing the same.
            with suppress(OSError):
                if not path.is_symlink():
                    path.chmod(stat.S_IRWXU)
    shutil.rmtree(folder, ignore_errors=True)


def _is_root() -> bool:
    return os.geteuid() == 0
