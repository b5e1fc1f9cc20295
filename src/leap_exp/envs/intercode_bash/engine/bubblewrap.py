"""Sandboxes made with bubblewrap: they need no container engine and no service, and leave nothing behind.

Each episode has a mount namespace with an overlay file system. Its lower layers are the base and the prepared file
tree; its upper layer is a tmpfs of limited size that receives all writes. The episode also has a process namespace.
The first process there waits on a pipe from this process. When the pipe closes, even because this process is killed,
the kernel ends everything in the episode. A command enters both namespaces and is run by bubblewrap with process,
network, IPC and host name namespaces of its own, so its background processes end with it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import threading
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from itertools import count
from pathlib import Path

from leap_exp.core.errors import EnvError
from leap_exp.envs.datasets import data_folder
from leap_exp.envs.intercode_bash.engine.bases import Base, open_base
from leap_exp.envs.intercode_bash.engine.orphans import (
    find_orphans,
    own_prefix,
    remove,
    remove_orphan_files,
    remove_own_files,
)
from leap_exp.envs.intercode_bash.engine.processes import capture, process_tree
from leap_exp.envs.intercode_bash.engine.sandbox import BaseKind, CommandResult, Limits, Sandbox, SandboxEngine
from leap_exp.envs.intercode_bash.engine.shell import SHELL
from leap_exp.envs.intercode_bash.engine.trees import GIT_IGNORE, PREPARE, FileTree
from leap_exp.runs import process_name

_VERSION = 1
_PROGRAMS = ("bwrap", "unshare", "nsenter", "prlimit", "mount")
_NOT_FOUND, _NOT_STARTED = 127, 126
_PREPARING_SECONDS = 120.0

# For these files, root in a sandbox is root on the machine, whatever the namespaces. The lists are Docker's.
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
_MASKED = ("/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug", "/proc/timer_list")

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOSTNAME": "sandbox",
    "HOME": "/root",
}
CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_RAW", "SETGID", "SETUID")
"""What root may do in a sandbox: change files and users and ping itself, nothing that affects the machine."""

_NEEDS = (
    "bubblewrap needs root, or Linux 6.6 with user namespaces, which containers and Ubuntu 24.04 often forbid (sysctl "
    "kernel.apparmor_restrict_unprivileged_userns=0 allows them there)."
)


# $1 mount point, $2 lower folders, $3 options, $4 size of the upper layer in MiB or a folder to use as it.
_MOUNT = """
case $4 in
/*) upper=$4 ;;
*) mount -t tmpfs -o "size=$4m,nr_inodes=16k,mode=755" tmpfs "$1" && mkdir "$1/upper" && upper=$1/upper ;;
esac &&
work=${upper%/*}/work && mkdir -p "$work" "${upper%/*}/root" &&
mount -t overlay -o "lowerdir=$2,upperdir=$upper,workdir=$work$3" overlay "${upper%/*}/root" &&
mount --bind "${upper%/*}/root" "$1" && echo mounted && read -r _
"""


class BubblewrapEngine(SandboxEngine):
    """Makes sandboxes with bubblewrap.

    Args:
        base: What is below the file trees.
        limits: The limits of each command.
        resident: Behave like the original's containers: each sandbox has its own host name, writes go to the disk
            without a limit, and background processes run, without limits, until the sandbox is closed.

    Raises:
        DataError: The base is not installed.
        EnvError: bubblewrap or another program is missing, the cache folder is not writable, or no sandbox can be
            made on this machine. That is tried once per process.
    """

    name = "bubblewrap"

    def __init__(self, *, base: BaseKind, limits: Limits, resident: bool = False) -> None:
        if missing := [program for program in _PROGRAMS if not shutil.which(program)]:
            raise EnvError(
                f"{missing[0]} is not installed: install the packages bubblewrap and util-linux (apt-get install "
                "bubblewrap)."
            )
        self._cache = data_folder() / "intercode" / "sandboxes"
        self._mount_point = self._cache / "mounted"
        try:
            self._mount_point.mkdir(parents=True, exist_ok=True)
            self._base = open_base(base, self._cache)
        except OSError as error:
            raise EnvError(
                f"Cannot write to {self._cache} ({error.strerror}): set LEAP_DATA to a writable folder."
            ) from error
        self._limits = limits
        self._resident = resident
        self._numbers = count(1)
        self._making = threading.Lock()
        self._started = time.time()
        remove_orphan_files(self._cache)
        if problem := _problem(shutil.which("bwrap") or "", os.geteuid(), self._mount_point, self._base):
            raise EnvError(problem)
        weakref.finalize(self, remove_own_files, self._cache, self._started)

    @contextmanager
    def open(self, tree: FileTree) -> Iterator[Sandbox]:
        """Start a new sandbox with ``tree``. The first use of a tree prepares it: it becomes a git repository."""
        with self._making:
            layer = self._layer(tree)
        lower = [layer, self._base.folder]
        variables = dict(tree.variables)
        if not self._resident:
            with self._machine(lower, str(self._limits.disk_mib), self._limits, variables) as machine:
                yield machine
            return
        name = hashlib.sha256(f"sandbox {next(self._numbers)}".encode()).hexdigest()[:12]
        folder = self._cache / f"{own_prefix(self._started)}{name}"
        (folder / "upper").mkdir(parents=True)
        try:
            with (
                self._machine(lower, str(folder / "upper"), self._limits, {**variables, "HOSTNAME": name}) as machine,
                machine.first_process(),
            ):
                yield machine
        finally:
            remove(folder)

    def orphans(self) -> Mapping[str, Sequence[str]]:
        """List processes, mounts, namespaces and files of sandboxes on this machine. Open sandboxes are listed too.

        A process belongs to a sandbox if it sees a mount made from the cache folder, or if its command line names the
        mount point.
        """
        return find_orphans(self._cache, self._mount_point)

    @contextmanager
    def _machine(
        self, lower: Sequence[Path], upper: str, limits: Limits, environment: Mapping[str, str]
    ) -> Iterator[_Machine]:
        """Start a sandbox over the ``lower`` folders, topmost first; ``upper`` is the last argument of ``_MOUNT``."""
        with _mounted(self._mount_point, lower, upper) as namespaces:
            yield _Machine(self._mount_point, namespaces, self._base, limits, {**ENVIRONMENT, **environment})

    def _layer(self, tree: FileTree) -> Path:
        """Return the folder with ``tree`` as at the start of an episode, the layer above the base."""
        contents = repr((_VERSION, _is_root(), self._base.identity, PREPARE, GIT_IGNORE, tree.digest))
        name = hashlib.sha256(contents.encode()).hexdigest()[:16]
        # The files of a recorded tree must have the right age, so every process makes the tree again.
        folder = self._cache / (f"tree-{name}" if tree.made is None else f"{own_prefix(self._started)}{name}")
        layer = folder / "layer"
        if not layer.is_dir():
            fresh = folder.with_name(f"{folder.name}.{process_name()}.part")
            remove(fresh)
            (fresh / "layer").mkdir(parents=True)
            tree.write(fresh / "layer", now=self._started)
            (fresh / "layer" / ".gitignore").write_text(GIT_IGNORE)
            limits = Limits(seconds=_PREPARING_SECONDS)
            with self._machine([self._base.folder], str(fresh / "layer"), limits, {}) as machine:
                result = machine.run(["/bin/bash", "-c", PREPARE], workdir="/")
            if result.exit_code != 0:
                text = result.output.decode(errors="replace").strip()
                raise EnvError(f"The file tree {tree.name!r} could not be made a git repository: {text}")
            try:
                fresh.rename(folder)
            except OSError:
                # Another process was faster.
                remove(fresh)
        return layer


class _Machine(Sandbox):
    """A mounted overlay in which commands are run."""

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
            *(word for path in base.read_only for word in ("--ro-bind", path, path)),
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
        """Start a shell that waits, and run all commands in its process namespace while the context is open."""
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
                # bubblewrap writes this JSON once the shell has started. It keeps the pipe open.
                next((line for line in information if "}" in line), None)
            *_, first = process_tree(shell.pid)
            try:
                namespace = os.open(f"/proc/{first}/ns/pid_for_children", os.O_RDONLY)
            except OSError as error:
                shell.kill()
                raise EnvError(f"The first process of a sandbox could not be started ({error}).") from error
            self._descriptors = (*self._descriptors, namespace)
            self._processes = ["--pidns", str(namespace)]
            try:
                yield
            finally:
                os.close(namespace)
                shell.kill()

    def run(self, arguments: Sequence[str], *, workdir: str) -> CommandResult:
        """Run a program until it ends or exceeds a limit."""
        reading, writing = os.pipe()
        try:
            status = ["--json-status-fd", str(writing)]
            command = [*self._prefix, *self._processes, *status, "--chdir", workdir, "--", *arguments]
            result = capture(command, limits=self._limits, descriptors=(*self._descriptors, writing))
            os.set_blocking(reading, False)
            # bubblewrap reports an exit code only if the program was started. The program cannot write to this pipe.
            started = b"exit-code" in _available(reading)
        finally:
            os.close(reading)
            os.close(writing)
        return result if started or result.exceeded else _not_started(result, arguments[0], workdir)


@contextmanager
def _mounted(mount_point: Path, lower: Sequence[Path], upper: str) -> Iterator[dict[str, int]]:
    """Mount the overlay on ``mount_point`` in new namespaces; yields their file descriptors by kind."""
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
            error = process.stderr.read().decode(errors="replace").strip()
            raise EnvError(f"Cannot mount a sandbox ({error or 'no error output'}). {_NEEDS}")
        kinds = {"mount": "mnt", "pid": "pid_for_children"} | ({} if _is_root() else {"user": "user"})
        with ExitStack() as stack:
            descriptors = {}
            for kind, name in kinds.items():
                descriptors[kind] = os.open(f"/proc/{process.pid}/ns/{name}", os.O_RDONLY)
                stack.callback(os.close, descriptors[kind])
            yield descriptors


def _not_started(result: CommandResult, program: str, workdir: str) -> CommandResult:
    """Return Docker's message if the folder or the program is the reason that a program was not started.

    Raises:
        EnvError: The sandbox itself is the reason; its message must not be taken for the output of a program.
    """
    message = result.output.decode(errors="replace").strip()
    cause = message.rpartition(": ")[2].lower()
    failed = "OCI runtime exec failed: exec failed: unable to start container process: "
    if message.startswith("bwrap: Can't chdir to "):
        text = f'{failed}chdir to cwd ("{workdir}") set in config.json failed: {cause}: unknown\r\n'
        return CommandResult(output=text.encode(), exit_code=_NOT_STARTED)
    if message.startswith("bwrap: execvp "):
        missing = cause == "no such file or directory"
        why = "executable file not found in $PATH" if missing else cause
        text = f'{failed}exec: "{program}": {why}: unknown\r\n'
        return CommandResult(output=text.encode(), exit_code=_NOT_FOUND if missing else _NOT_STARTED)
    raise EnvError(f"A sandbox could not start a program ({message or 'no error output'}). {_NEEDS}")


@cache
def _problem(bwrap: str, user: int, mount_point: Path, base: Base) -> str:  # noqa: ARG001 - they decide the result
    """Return why no sandbox can be made on this machine, after trying it; empty if one can.

    Called again with the same arguments, it returns the same without trying.
    """
    limits = Limits()
    try:
        with _mounted(mount_point, [base.folder], str(limits.disk_mib)) as namespaces:
            result = _Machine(mount_point, namespaces, base, limits, ENVIRONMENT).run([SHELL, "-c", ":"], workdir="/")
    except EnvError as error:
        return str(error)
    if result.exit_code == 0:
        return ""
    text = result.output.decode(errors="replace").strip()
    return f"A sandbox cannot run {SHELL} ({text}): repair the programs of env.base, or use the other base."


def _available(descriptor: int) -> bytes:
    """Return what can be read from a pipe now."""
    try:
        return os.read(descriptor, 1 << 12)
    except BlockingIOError:
        return b""


def _is_root() -> bool:
    return os.geteuid() == 0
