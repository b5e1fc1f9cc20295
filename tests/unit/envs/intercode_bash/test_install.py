"""Installing the authors' queries and file systems, from a small repository with the same structure."""

import hashlib
import json
import shutil
import zipfile

import pytest

from leap_exp.core.errors import DataError, EnvError
from leap_exp.envs.datasets import ignore_progress
from leap_exp.envs.intercode_bash.engine import install
from leap_exp.envs.intercode_bash.engine.queries import official_folder, read_official
from leap_exp.envs.intercode_bash.engine.trees import RECORDED, Entry, FileTree, read_tree, tree_to_json

DATA = install.IntercodeData()

SCRIPTS = {
    1: "mkdir -p /barn/loft/empty\necho hay > /barn/loft/bale.txt\nchmod 400 /barn/loft/bale.txt\n"
    "touch -t 202301312359.59 /barn/old.txt\nln /barn/old.txt /barn/twin.txt",
    2: "touch here.txt; mkdir /well; mkdir -d /no/such/option; printf '\\x80\\0' > '/well/two words.bin'",
    3: "mkdir /mill; dd if=/dev/zero of=/mill/zeros bs=1K count=2",
    4: "export nothing=1",
}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("LEAP_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def repository(tmp_path):
    """A checkout with one query per set."""
    checkout = tmp_path / "checkout"
    (checkout / "data" / "nl2bash").mkdir(parents=True)
    (checkout / "docker" / "bash_scripts").mkdir(parents=True)
    (checkout / "LICENSE.md").write_text("Anyone may use this.\n")
    for number, script in SCRIPTS.items():
        queries = [{"query": f"List place {number}.", "gold": "ls /"}]
        (checkout / "data" / "nl2bash" / f"nl2bash_fs_{number}.json").write_text(json.dumps(queries))
        (checkout / "docker" / "bash_scripts" / f"setup_nl2b_fs_{number}.sh").write_text(f"#!/bin/bash\n{script}\n")
    return checkout


@pytest.fixture
def built(repository):
    """The folder that is installed from the small repository."""
    if not shutil.which("bwrap"):
        pytest.skip("bubblewrap is not installed")
    try:
        installed(repository)
    except EnvError as error:
        pytest.skip(f"bubblewrap does not work here: {error}")
    return official_folder()


def installed(source):
    """Install from ``source`` and return the description."""
    return DATA.install(source, None, ignore_progress)


def verified():
    """Return the description of what is installed."""
    return DATA.verify(None, ignore_progress)


def test_the_set_up_scripts_make_the_file_systems(built):
    assert verified()[0] == "fs_1    1 queries   official  60     7 files and folders"
    trees = read_official(built).trees
    first = {entry.path: entry for entry in trees["fs_1"].entries}
    assert first["/barn/loft/bale.txt"] == Entry(
        path="/barn/loft/bale.txt", mode=0o400, content=b"hay\n", changed=RECORDED - 10 * 86_400
    )
    assert first["/barn/loft/empty"].content is None
    assert first["/barn/old.txt"].changed == first["/barn/twin.txt"].changed == 1675209599
    second = {entry.path: entry.content for entry in trees["fs_2"].entries}
    assert second["/here.txt"] == b"", "scripts run in the root folder and continue after a failed command"
    assert second["/well/two words.bin"] == b"\x80\0"
    assert {entry.path: entry.content for entry in trees["fs_3"].entries}["/mill/zeros"] == bytes(2048)
    assert [(entry.path, entry.mode) for entry in trees["fs_4"].entries] == [("/setup_nl2b_fs_4.sh", 0o755)]


def test_an_installation_can_be_copied(built, monkeypatch, tmp_path):
    (built / "fs_4.json").unlink()
    monkeypatch.setenv("LEAP_DATA", str(tmp_path / "elsewhere"))
    installed(built)
    names = sorted(path.name for path in built.iterdir())
    assert sorted(path.name for path in official_folder().iterdir()) == names
    assert all((official_folder() / name).read_bytes() == (built / name).read_bytes() for name in names)


def test_an_archive_can_be_installed(built, repository, tmp_path):
    archive = tmp_path / "intercode.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        for path in sorted(repository.rglob("*.*")):
            opened.write(path, f"intercode-main/{path.relative_to(repository)}")
    before = (built / "fs_3.json").read_bytes()
    shutil.rmtree(built)
    installed(archive)
    assert (built / "fs_3.json").read_bytes() == before


def _truncated_queries(repository):
    path = repository / "data" / "nl2bash" / "nl2bash_fs_3.json"
    path.write_text(path.read_text()[:-9])
    return "nl2bash_fs_3.json"


def _without_a_script(repository):
    (repository / "docker" / "bash_scripts" / "setup_nl2b_fs_2.sh").unlink()
    return "setup_nl2b_fs_2.sh"


def _failing(repository):
    (repository / "docker" / "bash_scripts" / "setup_nl2b_fs_2.sh").write_text("echo no luck >&2; exit 3")
    return "failed (3). It printed: no luck"


def _hanging(repository):
    (repository / "docker" / "bash_scripts" / "setup_nl2b_fs_1.sh").write_text("echo waiting; sleep 54.7")
    return "did not end. It printed: waiting"


def _making_a_link(repository):
    (repository / "docker" / "bash_scripts" / "setup_nl2b_fs_1.sh").write_text("mkdir /barn; ln -s / /barn/all")
    return "/barn/all"


@pytest.mark.parametrize(
    "spoil",
    [_truncated_queries, _without_a_script, _failing, _hanging, _making_a_link],
    ids=lambda spoil: spoil.__name__,
)
def test_a_bad_repository_is_refused_and_the_old_installation_kept(built, repository, spoil, monkeypatch):
    monkeypatch.setattr(install, "_SCRIPT_SECONDS", 2.0)
    before = sorted(path.name for path in built.parent.glob("tasks*"))
    description = verified()
    named = spoil(repository)
    with pytest.raises(DataError) as error:
        installed(repository)
    assert named in str(error.value)
    assert verified() == description
    assert sorted(path.name for path in built.parent.glob("tasks*")) == before


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 cut off", "a zip of something else"])
def test_a_source_of_the_wrong_kind_is_named(content, tmp_path):
    source = tmp_path / "source.zip"
    if isinstance(content, bytes):
        source.write_bytes(content)
    elif content:
        with zipfile.ZipFile(source, "w") as opened:
            opened.writestr("intercode-main/README.md", content)
    with pytest.raises(DataError, match=r"source\.zip") as error:
        installed(source)
    assert len(str(error.value).splitlines()) == 1
    assert not official_folder().exists()


def test_queries_without_their_file_system_are_refused(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in SCRIPTS:
        (folder / f"nl2bash_fs_{number}.json").write_text('[{"query": "List.", "gold": "ls"}]')
    for number in (1, 2):
        (folder / f"fs_{number}.json").write_text("[]")
    with pytest.raises(DataError, match=r"has no fs_3\.json"):
        installed(folder)
    (folder / "fs_3.json").write_text('[{"path": "/x", "mode": "644"')
    with pytest.raises(DataError, match=r"fs_3\.json is not a list"):
        installed(folder)
    (folder / "fs_3.json").write_text("[]")
    assert len(installed(folder)) == 4


def test_a_download_must_equal_the_published_file(repository, home, monkeypatch):
    urls = []

    def fake_download(url, target, on_progress):
        urls.append(url)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(repository / url.removeprefix(install._URL), target)

    monkeypatch.setattr(install, "download", fake_download)
    with pytest.raises(DataError, match=r"LICENSE\.md differs from the published file.*--from"):
        installed(None)
    published = {
        name: hashlib.sha256((repository / name).read_bytes()).hexdigest()
        for name in install._SHA256
        if name in urls[0]
    }
    monkeypatch.setattr(install, "_SHA256", published)
    assert install._download(home / "arriving", ignore_progress) == {"LICENSE.md": b"Anyone may use this.\n"}
    assert install.COMMIT in urls[-1]


def test_a_tree_survives_a_round_trip_through_json(tmp_path):
    tree = FileTree(
        name="fs_9",
        entries=(
            Entry(path="/barn", mode=0o1777, changed=RECORDED),
            Entry(path="/barn/bytes", mode=0o600, content=b"\xff\0", changed=1675209599.0),
            Entry(path="/barn/text", mode=0o4755, content="ä\n\0".encode(), changed=RECORDED),
        ),
        made=RECORDED,
    )
    (tmp_path / "fs_9.json").write_text(tree_to_json(tree))
    assert read_tree(tmp_path / "fs_9.json") == tree
