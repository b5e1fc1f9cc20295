"""A Slurm cluster of one node, on free ports, with everything in one folder."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "sinfo", "squeue")
_SECONDS_TO_START = 30

_CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
# A job that was put back waits as long as a credential is valid; the default is 120 seconds.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SlurmdParameters=config_overrides
PropagateResourceLimits=NONE
ReturnToService=2
KillWait=2
SchedulerParameters=sched_interval=2,bf_interval=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 RealMemory=64000 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def missing_slurm() -> str | None:
    """Why there can be no cluster here, or None."""
    missing = [name for name in PROGRAMS if _program(name) is None]
    if missing:
        return f"Slurm is not installed (no {missing[0]}): apt-get install slurmctld slurmd slurm-client munge"
    return None if os.geteuid() == 0 else "starting slurmd needs root"


@contextmanager
def one_node_slurm(folder: Path) -> Iterator[dict[str, str]]:
    """Start a cluster in ``folder``; yields the variables that its commands need."""
    host = socket.gethostname().partition(".")[0]
    folder.chmod(0o755)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    conf = folder / "slurm.conf"
    conf.write_text(_CONF.format(host=host, folder=folder, ports=_free_ports(2)))
    variables = {"SLURM_CONF": str(conf)}
    munged = [
        *("munged", "--foreground", "--force", "--key-file", key, "--socket", folder / "munge.socket"),
        *("--pid-file", folder / "munged.pid", "--log-file", folder / "munged.log", "--seed-file", folder / "seed"),
    ]
    with ExitStack() as running:
        running.enter_context(_daemon(munged, folder, {}))
        _wait(lambda: (folder / "munge.socket").exists(), "munged", folder)
        running.enter_context(_daemon(["slurmctld", "-D"], folder, variables))
        running.enter_context(_daemon(["slurmd", "-D"], folder, variables))
        _wait(lambda: "idle" in command("sinfo", "-h", "-o", "%t", variables=variables), "slurmd", folder)
        try:
            yield variables
        finally:
            command("scancel", "--signal=KILL", "--full", "--user=root", variables=variables)
            _kill_those_with(f"SLURM_CONF={conf}")


def command(*arguments: str, variables: dict[str, str]) -> str:
    """The output of a command of Slurm; empty if it failed."""
    result = subprocess.run(arguments, env={**os.environ, **variables}, capture_output=True, text=True, check=False)
    return result.stdout


def _kill_those_with(variable: str) -> None:
    """Kill the processes of this cluster's jobs: srun outlives a job that was put back."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            is_job = variable.encode() in (process / "environ").read_bytes().split(b"\0")
            if is_job and b"SLURM_JOB_ID=" in (process / "environ").read_bytes():
                os.kill(int(process.name), signal.SIGKILL)
        except OSError:
            continue


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


@contextmanager
def _daemon(arguments: list[object], folder: Path, variables: dict[str, str]) -> Iterator[None]:
    program, *others = arguments
    with (folder / f"{program}.out").open("w") as output:
        process = subprocess.Popen(
            [_program(str(program)), *map(str, others)],
            env={**os.environ, **variables},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _wait(is_ready, name: str, folder: Path) -> None:
    end = time.monotonic() + _SECONDS_TO_START
    while not is_ready():
        if time.monotonic() > end:
            logs = {path.name: path.read_text(errors="replace")[-2000:] for path in sorted(folder.glob(f"{name}.*"))}
            raise RuntimeError(f"{name} did not start: {logs}")
        time.sleep(0.2)
