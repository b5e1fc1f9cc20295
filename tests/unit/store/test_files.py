"""Whole files, full disks and locks."""

import multiprocessing
import os
import signal

import pytest

from leap_exp.core.errors import StoreError
from leap_exp.store import locked, read_records, write_records, write_whole


def test_a_full_disk_is_one_clear_error_and_the_old_file_stays(tmp_path):
    path = tmp_path / "records.jsonl"
    write_records(path, [], {"a/b": 1.0})
    (tmp_path / "records.jsonl.part").symlink_to("/dev/full")
    with pytest.raises(StoreError, match=r"records\.jsonl: No space left on device.*same command again"):
        write_records(path, [], {"a/b": 2.0})
    assert read_records(path).metrics == {"a/b": 1.0}


def test_a_writer_that_breaks_halfway_leaves_the_old_file(tmp_path):
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


def test_a_locked_folder_names_its_holder_and_is_free_when_that_is_killed(tmp_path):
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    holder = context.Process(target=_hold, args=(tmp_path, ready))
    holder.start()
    assert ready.wait(10)
    with pytest.raises(StoreError, match=f"in use by process {holder.pid}"), locked(tmp_path, wait=False):
        pass
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    with locked(tmp_path, wait=False):
        pass
