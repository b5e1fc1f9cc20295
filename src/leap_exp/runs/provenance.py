"""The provenance of a run: code, libraries, command line and machine."""

import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

LIBRARIES = (
    "accelerate",
    "alfworld",
    "hydra-core",
    "leap-exp",
    "openai",
    "peft",
    "torch",
    "transformers",
    "wandb",
)
CPU_FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16", "sve")
"""Instruction sets that change a run's speed and, by rounding, its figures."""


def provenance() -> dict[str, object]:
    """Return the provenance of this process."""
    return {
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "git": _git(Path(__file__).parent),
        "libraries": {"python": platform.python_version(), **_versions()},
        "machine": _machine(),
    }


def folder_digest(folder: Path) -> str:
    """Return a SHA-256 over the names and contents of all files in ``folder``."""
    digest = hashlib.sha256()
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _versions() -> Mapping[str, str]:
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _git(folder: Path) -> Mapping[str, str] | None:
    """Return the commit and the uncommitted changes of this package's checkout, or None if it is not in one."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, errors="replace").stdout

    try:
        # An installed package may be inside the repository of another project.
        git("ls-files", "--error-unmatch", Path(__file__).name)
        diff = git("diff", "HEAD")
        return {
            "commit": git("rev-parse", "HEAD").strip(),
            "diff_sha256": hashlib.sha256(diff.encode()).hexdigest(),
            "diff": diff,
        }
    except (OSError, subprocess.CalledProcessError):
        return None


def _machine() -> Mapping[str, object]:
    try:
        words = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        words = []
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "cpu_features": sorted(set(words) & set(CPU_FEATURES)),
    }
