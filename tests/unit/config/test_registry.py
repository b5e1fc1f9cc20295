"""Components of other packages: their entry points, their configuration files, and what is wrong with them."""

import sys

import pytest
from hydra import compose, initialize_config_dir

from leap_exp.config import registry
from leap_exp.config.help import help_text
from leap_exp.config.messages import run_config
from leap_exp.config.registry import conf_dir, description, members, register, settings_class
from leap_exp.core.errors import ConfigError

PACKAGE = '''
from dataclasses import dataclass

from leap_exp.core.components import EnvironmentConfig
from leap_exp.core.settings import setting


@dataclass
class ShelfConfig(EnvironmentConfig):
    """Books to put on a shelf."""

    books: int = setting(3, "Number of books.", minimum=1)


not_settings = 7
'''


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs a package ``shelf`` with the given entry point value and configuration files."""

    def install(value, files=()):
        info = tmp_path / "leap_shelf-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: leap-shelf\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[leap_exp.environments]\nshelf = {value}\n")
        (tmp_path / "shelf").mkdir()
        (tmp_path / "shelf" / "__init__.py").write_text(PACKAGE)
        for name, text in dict(files).items():
            path = tmp_path / "shelf" / "conf" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        clear_caches()

    yield install
    monkeypatch.undo()
    sys.modules.pop("shelf", None)
    clear_caches()


def clear_caches():
    registry.settings_classes.cache_clear()
    registry.conf_folders.cache_clear()


def composed(*overrides):
    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return run_config(compose("config", overrides=["run_dir=there", *overrides]))


def test_an_entry_point_without_a_file_is_a_member(install):
    install("shelf:ShelfConfig")
    assert composed("env=shelf", "env.books=5").env.books == 5
    assert "shelf" in members("env")
    assert "  shelf                 Books to put on a shelf.\n" in help_text()
    assert "env.books=3" in help_text()


def test_a_package_can_bring_configuration_files(install):
    files = {
        "env/big_shelf.yaml": "# A shelf with many books.\ndefaults:\n  - schema_shelf\n\nbooks: 100\n",
        "env/bigger_shelf.yaml": "defaults:\n  - big_shelf\n\nbooks: 200\n",
        "experiment/shelves.yaml": "# @package _global_\n# All shelves.\nrounds: 7\n",
    }
    install("shelf:ShelfConfig", files)
    config = composed("env=big_shelf", "experiment=shelves")
    assert (config.env.books, config.rounds) == (100, 7)
    assert composed("env=bigger_shelf").env.books == 200
    assert settings_class("env", "bigger_shelf") is settings_class("env", "shelf") is type(config.env)
    assert description("env", "big_shelf") == "A shelf with many books."
    assert description("env", "bigger_shelf") == "Books to put on a shelf."
    assert description("experiment", "shelves") == "All shelves."


def test_the_help_shows_the_members_in_further_folders(tmp_path):
    (tmp_path / "student").mkdir()
    (tmp_path / "student" / "mine.yaml").write_text("# My student.\ndefaults:\n  - schema_hf\n\nmodel: mine\n")
    assert "  mine                  My student.\n" in help_text([tmp_path])
    assert "  mine " not in help_text()


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("shelf:Nothing", r"shelf = shelf:Nothing of leap_exp.environments \(leap-shelf 1.0\) cannot be loaded"),
        ("no_shelf:ShelfConfig", "cannot be loaded: No module named 'no_shelf'"),
        ("shelf:not_settings", "is not a subclass of leap_exp.core.components.EnvironmentConfig"),
    ],
)
def test_a_broken_entry_point_is_named_with_its_package(install, value, complaint):
    install(value)
    with pytest.raises(ConfigError, match=complaint):
        register()
