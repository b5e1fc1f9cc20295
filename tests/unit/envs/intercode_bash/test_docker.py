"""Behaviour of Docker sandboxes only: containers and images, and their removal."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from leap_exp.core.errors import EnvError
from leap_exp.envs.intercode_bash.commands import check
from leap_exp.envs.intercode_bash.engine.sandbox import BaseKind, SandboxKind
from tests.support.sandboxes import TREE, bash, becomes, is_running, output_of

pytestmark = pytest.mark.docker

COMMANDS = (
    "ls -l /desk",
    "cat /desk/note.txt /desk/none",
    "stat -c '%n %a %U %y' /desk/* /desk/drawer/*",
    "find /desk -type f | sort | xargs md5sum",
    "echo out; echo err >&2; ls /none; echo out",
    "grep -c pen /desk/drawer/*; sort -t, -k2 -n /desk/drawer/list.csv",
    "awk -F, '{n += $2} END {print n}' /desk/drawer/list.csv",
    "tar czf /desk/all.tgz /desk/drawer; tar tzf /desk/all.tgz",
    "chmod 600 /desk/note.txt; mv /desk/note.txt /desk/moved.txt; git status --short",
    "git log --format=%s%an%ae; git diff",
    "pwd; id; umask; echo $HOME $PATH $HOSTNAME $SHLVL $0",
    "nosuch",
    "exit 3",
    "kill -9 $$",
    "echo -e 'a\\tb' | cat -A; seq 3000 | tail -n 1",
)


def test_docker_and_bubblewrap_give_the_same_results_on_the_same_root_file_system(docker_engine, engine, rootfs):
    with docker_engine().open(TREE) as one, engine(base=BaseKind.ROOTFS).open(TREE) as other:
        for command in COMMANDS:
            assert bash(one, command) == bash(other, command), command


def test_a_container_is_removed_when_its_episode_ends_even_with_an_error(docker_engine, docker_client):
    engine = docker_engine()
    before = containers(docker_client)
    with pytest.raises(ZeroDivisionError), engine.open(TREE) as machine:
        assert len(containers(docker_client) - before) == 1
        bash(machine, "sleep 54.231 &")
        raise ZeroDivisionError
    assert containers(docker_client) <= before


def test_a_container_has_minimal_rights(docker_engine, docker_client):
    engine = docker_engine(memory_mib=100)
    before = containers(docker_client)
    with engine.open(TREE):
        (name,) = containers(docker_client) - before
        settings = docker_client.containers.get(name).attrs["HostConfig"]
    assert settings["NetworkMode"] == "none"
    assert settings["CapDrop"] == ["ALL"]
    assert settings["SecurityOpt"] == ["no-new-privileges"]
    assert not settings["Privileged"]
    assert not settings["Binds"]
    assert settings["Memory"] == settings["MemorySwap"] == 100 << 20


def test_killed_processes_leave_no_orphans(docker_engine, capsys):
    docker_engine()
    assert check(orphans=12, sandbox=SandboxKind.DOCKER, base=BaseKind.ROOTFS, seed=1) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["episodes"] >= 12
    assert figures["killed"] > 0
    assert figures["left"] == {"containers": 0, "images": 0}


def test_the_next_engine_removes_containers_of_killed_processes_only(docker_engine, docker_client):
    engine = docker_engine()
    code = (
        "from leap_exp.envs.intercode_bash.engine import open_engine\n"
        "from leap_exp.envs.intercode_bash.engine.sandbox import BaseKind, Limits, SandboxKind\n"
        "from tests.support.sandboxes import TREE\n"
        "engine = open_engine(SandboxKind.DOCKER, base=BaseKind.ROOTFS, limits=Limits(seconds=60))\n"
        "with engine.open(TREE) as machine:\n"
        "    print('open', flush=True)\n"
        "    machine.run(['/bin/bash', '-c', 'sleep 54.213'], workdir='/')\n"
    )
    with engine.open(TREE) as machine:
        before = containers(docker_client)
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=dict(os.environ)) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"open\n"
            deadline = time.monotonic() + 10
            while not is_running("sleep", "54.213") and time.monotonic() < deadline:
                time.sleep(0.02)
            docker_engine()
            assert len(containers(docker_client) - before) == 1
            process.send_signal(signal.SIGKILL)
        docker_engine()
        assert containers(docker_client) <= before
        assert becomes(lambda: not is_running("sleep", "54.213"))
        assert output_of(machine, "cat /desk/note.txt") == "call back\n"


def test_removing_the_container_is_an_error_of_the_sandbox(docker_engine, docker_client):
    engine = docker_engine()
    before = containers(docker_client)
    with engine.open(TREE) as machine:
        (name,) = containers(docker_client) - before
        docker_client.containers.get(name).remove(force=True)
        with pytest.raises(EnvError, match="sandbox failed"):
            bash(machine, "ls")


def containers(client):
    """The names of all containers, running or not."""
    return {container.name for container in client.containers.list(all=True, ignore_removed=True)}
