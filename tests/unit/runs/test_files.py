"""Atomic writes, full disks, locks and the cache folder."""

import errno
import fcntl
import multiprocessing
import os
import signal
import socket

import pytest

from leap_exp.core.errors import StoreError
from leap_exp.runs import cache_folder, is_locked, locked, read_records, short_name, write_records, write_whole


def test_a_full_disk_is_reported_and_keeps_the_old_file(tmp_path):
    path = tmp_path / "records.jsonl"
    write_records(path, [], {"a/b": 1.0})
    (tmp_path / "records.jsonl.part").symlink_to("/dev/full")
    with pytest.raises(StoreError, match=r"records\.jsonl: No space left on device.*same command again"):
        write_records(path, [], {"a/b": 2.0})
    assert read_records(path).metrics == {"a/b": 1.0}


def test_an_interrupted_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "file"
    write_whole(path, ["old"])

    def lines():
        yield "new"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(path, lines())
    assert path.read_text() == "old\n"


def _hold(folder, ready):
    with locked(folder, wait=False):
        ready.set()
        signal.pause()


def test_lock_names_the_process_that_holds_it_and_is_released_when_it_is_killed(tmp_path):
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    holder = context.Process(target=_hold, args=(tmp_path, ready))
    holder.start()
    assert ready.wait(10)
    with (
        pytest.raises(StoreError, match=f"in use by process {holder.pid} on {socket.gethostname()}"),
        locked(tmp_path, wait=False),
    ):
        pass
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    with locked(tmp_path, wait=False):
        pass


def test_whether_a_folder_is_locked_can_be_asked_without_disturbing(tmp_path):
    assert not is_locked(tmp_path)
    with locked(tmp_path, wait=False):
        assert is_locked(tmp_path)
        with locked(tmp_path, wait=False, name=".other.lock"):
            pass
    assert not is_locked(tmp_path)


def test_a_file_system_without_locks_is_one_error_with_the_way_out(tmp_path, monkeypatch):
    def flock(descriptor, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with (
        pytest.raises(StoreError, match=r"cannot lock files \(No locks available\): mount it"),
        locked(tmp_path, wait=True),
    ):
        pass


def test_cache_folder_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.delenv("LEAP_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "leap_exp"
    monkeypatch.setenv("LEAP_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"


def test_a_folder_that_cannot_be_written_is_one_error_with_the_way_out(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"Cannot write .*file/there: Not a directory\. Choose another folder\."):
        write_whole(tmp_path / "file" / "there", ["text"])


def test_a_short_name_stays_as_it_is():
    for name in ("privilege=p25,seed=0", "env.task_types=[a,b]", "x" * 128):
        assert short_name(name) == name


@pytest.mark.parametrize("pair", [("a/b", "a_b"), ("x" * 200 + "1", "x" * 200 + "2"), ("é" * 100, "é" * 101)])
def test_names_that_must_change_stay_different(pair):
    short = [short_name(name) for name in pair]
    assert short[0] != short[1]
    for name in short:
        assert "/" not in name
        assert len(os.fsencode(name)) <= 128
