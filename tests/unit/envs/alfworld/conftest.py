import pytest


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    """Keep games that a test opens out of the user's cache."""
    monkeypatch.setenv("LEAP_CACHE", str(tmp_path / "cache"))
