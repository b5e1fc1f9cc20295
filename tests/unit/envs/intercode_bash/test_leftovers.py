"""Nothing stays of sandboxes, however the processes end that use them; and what would stay is found."""

import itertools
import json
import multiprocessing
import time

from leap_exp import check
from leap_exp.envs.intercode_bash import leftovers
from leap_exp.envs.intercode_bash.bubblewrap import BubblewrapEngine
from leap_exp.envs.intercode_bash.sandbox import Limits
from tests.sandboxes import TREE, becomes


def test_nothing_is_left_of_episodes_whose_processes_are_killed(engine, capsys):
    engine()
    assert check.main(["intercode_bash", "--leftovers", "20", "--seed", "1"]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["episodes"] >= 20
    assert figures["killed"] > 0
    assert figures["left"] == {"processes": 0, "mounts": 0, "namespaces": 0, "files": 0}


def test_a_command_ends_even_if_its_process_is_killed_while_it_is_being_started(engine):
    engine = engine()
    context = multiprocessing.get_context("fork")
    for delay in range(12):
        receiver, sender = context.Pipe()
        process = context.Process(target=_run_something_long, args=(sender,))
        process.start()
        receiver.recv()
        time.sleep(delay / 1000)
        process.kill()
        process.join()
    assert becomes(lambda: not any(engine.leftovers().values()))


def _run_something_long(sender):
    with BubblewrapEngine(base="host", limits=Limits(seconds=600)).open(TREE) as machine:
        sender.send("open")
        machine.run(["sleep", "600"], workdir="/")


def test_what_is_there_is_found(engine, data):
    engine = engine()
    stray = data / "intercode" / "sandboxes" / "mounted" / "stray"
    with engine.open(TREE):
        stray.touch()
        found = engine.leftovers()
    assert any("unshare" in line for line in found["processes"])
    assert any("overlay" in line for line in found["mounts"])
    assert {line.partition(":")[0] for line in found["namespaces"]} >= {"mnt", "pid"}
    assert found["files"] == ["mounted/stray"]
    stray.unlink()
    assert not any(engine.leftovers().values())


def test_what_is_left_is_listed_and_counted(engine, monkeypatch, capsys):
    engine()
    containers = (f"container {number}" for number in itertools.count())

    class Careless(BubblewrapEngine):
        def leftovers(self):
            return {"containers": [next(containers)]}

    monkeypatch.setattr(check, "open_engine", lambda name, **settings: Careless(**settings))
    monkeypatch.setattr(leftovers, "_SETTLING_SECONDS", 0.0)
    assert check.main(["intercode_bash", "--leftovers", "4"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "containers: container 1"
    assert json.loads(lines[-1])["left"] == {"containers": 1}
