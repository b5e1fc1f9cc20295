"""Sandboxes leave nothing behind, however their processes end; and orphans are found."""

import itertools
import json
import multiprocessing
import time

from leap_exp.envs.intercode_bash import commands
from leap_exp.envs.intercode_bash.engine import stress
from leap_exp.envs.intercode_bash.engine.bubblewrap import BubblewrapEngine
from leap_exp.envs.intercode_bash.engine.sandbox import BaseKind, Limits
from tests.support.sandboxes import TREE, becomes


def test_killed_processes_leave_no_orphans(engine, capsys):
    engine()
    assert commands.check(orphans=20, seed=1) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["episodes"] >= 20
    assert figures["killed"] > 0
    assert figures["left"] == {"processes": 0, "mounts": 0, "namespaces": 0, "files": 0}


def test_a_command_ends_even_if_its_process_is_killed_while_it_starts(engine):
    engine = engine()
    context = multiprocessing.get_context("fork")
    for delay in range(12):
        receiver, sender = context.Pipe()
        process = context.Process(target=_run_a_long_command, args=(sender,))
        process.start()
        receiver.recv()
        time.sleep(delay / 1000)
        process.kill()
        process.join()
    assert becomes(lambda: not any(engine.orphans().values()))


def _run_a_long_command(sender):
    with BubblewrapEngine(base=BaseKind.HOST, limits=Limits(seconds=600)).open(TREE) as machine:
        sender.send("open")
        machine.run(["sleep", "600"], workdir="/")


def test_orphans_are_found(engine, data):
    engine = engine()
    stray = data / "intercode" / "sandboxes" / "mounted" / "stray"
    with engine.open(TREE):
        stray.touch()
        found = engine.orphans()
    assert any("unshare" in line for line in found["processes"])
    assert any("overlay" in line for line in found["mounts"])
    assert {line.partition(":")[0] for line in found["namespaces"]} >= {"mnt", "pid"}
    assert found["files"] == ["mounted/stray"]
    stray.unlink()
    assert not any(engine.orphans().values())


def test_orphans_are_listed_and_counted(engine, monkeypatch, capsys):
    engine()
    containers = (f"container {number}" for number in itertools.count())

    class Careless(BubblewrapEngine):
        def orphans(self):
            return {"containers": [next(containers)]}

    monkeypatch.setattr(commands, "open_engine", lambda kind, **settings: Careless(**settings))
    monkeypatch.setattr(stress, "_SETTLING_SECONDS", 0.0)
    assert commands.check(orphans=4) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "containers: container 1"
    assert json.loads(lines[-1])["left"] == {"containers": 1}
