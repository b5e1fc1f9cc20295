"""``leap data`` and downloads."""

import errno
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from leap_exp.cli import data
from leap_exp.core.errors import DataError
from leap_exp.envs.alfworld.builtin import generate_game
from leap_exp.envs.alfworld.config import AlfworldConfig
from leap_exp.envs.datasets import download, ignore_progress
from leap_exp.envs.webshop.engine.catalogue import Catalogue
from leap_exp.envs.webshop.installation import installed_folder
from tests.support.webshop_files import RECORDS, write_files


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("LEAP_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "games.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for split, count in (("train", 3), ("valid_seen", 2), ("valid_unseen", 1)):
            for index in range(count):
                text = generate_game(split, index, seed=0, household="small")
                opened.writestr(f"json_2.1.1/{split}/task/trial_{index}/game.tw-pddl", text)
    return path


@pytest.fixture
def address(archive, monkeypatch):
    """A local server of the archive that cuts its first answer short and supports ranges."""
    content = archive.read_bytes()
    ranges = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked = self.headers.get("Range")
            ranges.append(asked)
            start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
            self.send_response(206 if asked else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            self.wfile.write(content[start : start + 4000] if len(ranges) == 1 else content[start:])

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/games.zip", ranges
    server.shutdown()
    server.server_close()


def test_an_installed_archive_can_be_played(archive, capsys):
    assert data.main(["install", "alfworld", "--from", str(archive)]) == 0
    shown = capsys.readouterr().out
    assert "train              3 readable   official 3,553" in shown
    assert "valid_unseen       1 readable   official 134" in shown
    assert len(AlfworldConfig(games="official").build().tasks("train")) == 3
    assert data.main(["verify", "alfworld"]) == 0
    assert archive.exists(), "the user's file is kept"


def test_the_list_shows_what_is_installed(archive, capsys):
    data.main(["list"])
    assert "installed in" not in capsys.readouterr().out
    data.main(["install", "alfworld", "--from", str(archive)])
    capsys.readouterr()
    data.main(["list"])
    listed = capsys.readouterr().out.splitlines()
    assert [line for line in listed if "installed in" in line] == [line for line in listed if "alfworld" in line]


def _truncated(archive):
    archive.write_bytes(archive.read_bytes()[:5000])


def _flipped(archive):
    content = bytearray(archive.read_bytes())
    content[3000] ^= 0xFF
    archive.write_bytes(content)


def _holding_a_broken_game(archive):
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr("json_2.1.1/train/task/trial_9/game.tw-pddl", "{}")


def _holding_nothing(archive):
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("readme.txt", "no games here")


@pytest.mark.parametrize("spoil", [_truncated, _flipped, _holding_a_broken_game, _holding_nothing])
def test_a_bad_archive_changes_nothing(archive, home, spoil, capsys):
    data.main(["install", "alfworld", "--from", str(archive)])
    spoil(archive)
    capsys.readouterr()
    assert data.main(["install", "alfworld", "--from", str(archive)]) == 1
    error = capsys.readouterr().err.strip()
    assert len(error.splitlines()) == 1, error
    assert data.main(["verify", "alfworld"]) == 0
    assert [path.name for path in home.iterdir()] == ["alfworld"]


def test_a_full_disk_leaves_no_partial_installation(archive, home, monkeypatch, capsys):
    def full(archive, member, folder):
        folder.mkdir(parents=True)
        (folder / "first").touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "extract", full)
    assert data.main(["install", "alfworld", "--from", str(archive)]) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert not list(home.iterdir())


def test_a_missing_archive_and_a_missing_installation(tmp_path, capsys):
    assert data.main(["install", "alfworld", "--from", str(tmp_path / "none.zip")]) == 1
    assert "none.zip" in capsys.readouterr().err
    assert data.main(["verify", "alfworld"]) == 1
    assert "leap data install alfworld" in capsys.readouterr().err


def test_an_interrupted_download_is_resumed(address, archive, home):
    url, ranges = address
    arrived = home / "games.zip"
    with pytest.raises(DataError, match="again"):
        download(url, arrived, ignore_progress)
    download(url, arrived, ignore_progress)
    assert arrived.read_bytes() == archive.read_bytes()
    assert ranges == [None, "bytes=4000-"]
    download(url, arrived, ignore_progress)
    assert len(ranges) == 2, "a complete file is not requested again"


def test_an_unreachable_address_is_one_clear_error(home):
    with pytest.raises(DataError, match="--from"):
        download("http://127.0.0.1:9/games.zip", home / "games.zip", ignore_progress)


def test_webshop_is_built_from_the_authors_files(tmp_path, home, capsys):
    files = write_files(tmp_path / "files")
    assert data.main(["install", "webshop", "--from", str(tmp_path / "files")]) == 0
    shown = capsys.readouterr().out
    assert "synthetic goals          7" in shown
    assert "alphabetic_words" in shown
    assert installed_folder() == home / "webshop" / "1000"
    assert len(Catalogue(installed_folder())) == len(RECORDS)
    assert data.main(["verify", "webshop"]) == 0
    files.products.write_bytes(files.products.read_bytes()[:-15])
    capsys.readouterr()
    assert data.main(["install", "webshop", "--from", str(tmp_path / "files")]) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert data.main(["verify", "webshop", "--size", "1000"]) == 0
    assert [path.name for path in (home / "webshop").iterdir()] == ["1000"]


def test_a_broken_webshop_is_one_clear_error(tmp_path, home, capsys):
    write_files(tmp_path / "files")
    data.main(["install", "webshop", "--from", str(tmp_path / "files")])
    (installed_folder() / "products.bin").write_bytes(b"")
    capsys.readouterr()
    assert data.main(["verify", "webshop"]) == 1
    assert "build the catalogue again" in capsys.readouterr().err
    assert data.main(["verify", "webshop", "--size", "7"]) == 1
    assert "all, 1000" in capsys.readouterr().err
    assert data.main(["install", "webshop", "--from", str(tmp_path / "none")]) == 1
    assert "items_shuffle.json" in capsys.readouterr().err


def test_a_web_page_instead_of_a_file_suggests_local_files(home, monkeypatch):
    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(b"<html>Too many users have viewed or downloaded this file recently</html>")

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        monkeypatch.setattr("leap_exp.envs.webshop.installation._DRIVE", f"http://127.0.0.1:{server.server_port}/?id=")
        with pytest.raises(DataError, match="--from"):
            data.install("webshop")
        assert not list((home / "webshop.download").iterdir())
    finally:
        server.shutdown()
        server.server_close()
