"""The panels of the official benchmarks against the authors' data, if they are here."""

import zipfile
from pathlib import Path

import pytest

from leap_exp.config.panels import find_panel
from leap_exp.core.errors import DataError
from leap_exp.envs.alfworld.config import AlfworldConfig
from leap_exp.envs.intercode_bash.config import InterCodeBashConfig
from leap_exp.envs.webshop.config import WebShopConfig
from leap_exp.envs.webshop.engine.authors_files import build_catalogue, find_files
from leap_exp.envs.webshop.engine.nouns import WordTagger
from tests.support.alfworld_games import ARCHIVE, needs_archive
from tests.support.webshop_files import FOLDER, needs_files

QUERIES = ARCHIVE.parents[1] / "intercode"
needs_queries = pytest.mark.skipif(not QUERIES.exists(), reason=f"needs InterCode-Bash's queries in {QUERIES}")


@pytest.fixture(autouse=True)
def _no_own_panels(monkeypatch, tmp_path):
    monkeypatch.setenv("LEAP_DATA", str(tmp_path / "data"))


@needs_archive
def test_alfworld(tmp_path):
    with zipfile.ZipFile(ARCHIVE) as archive:
        for name in archive.namelist():
            if "/valid_unseen/" in name:
                archive.extract(name, tmp_path)
    environment = AlfworldConfig(games=str(tmp_path)).build()
    panel = find_panel("alfworld_unseen_134").panel(environment, seed=0)
    assert list(panel.tasks) == list(environment.tasks("valid_unseen"))
    game = next(Path(tmp_path).rglob("game.tw-pddl"))
    game.write_text(game.read_text().replace("move {o} to {r}", "put {o} in/on {r}"))
    with pytest.raises(DataError, match="its texts is"):
        find_panel("alfworld_unseen_134").panel(AlfworldConfig(games=str(tmp_path)).build(), seed=0)


@needs_files
def test_webshop_with_its_small_catalogue(tmp_path):
    build_catalogue(tmp_path / "1000", find_files(FOLDER), tagger=WordTagger())
    environment = WebShopConfig(catalogue=str(tmp_path / "1000"), goals="synthetic").build()
    panel = find_panel("webshop_small_500").panel(environment, seed=0)
    assert list(panel.tasks) == list(environment.tasks("test"))


@needs_queries
def test_intercode_bash():
    environment = InterCodeBashConfig(tasks=str(QUERIES)).build()
    panel = find_panel("intercode_87").panel(environment, seed=0)
    assert list(panel.tasks) == list(environment.tasks("test"))
