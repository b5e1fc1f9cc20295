"""A root file system with a few of this machine's programs, small enough to become an image in a second."""

import re
import shutil
import subprocess
from pathlib import Path

_PROGRAMS = (
    *("awk", "bash", "cat", "chmod", "cp", "cut", "date", "dd", "du", "find", "git", "grep", "gzip", "head", "id"),
    *(
        "ln",
        "ls",
        "md5sum",
        "mkdir",
        "mknod",
        "mount",
        "mv",
        "ps",
        "rm",
        "sed",
        "seq",
        "sh",
        "sleep",
        "sort",
        "stat",
        "tail",
    ),
    *("tar", "tee", "touch", "tr", "uniq", "wc", "xargs", "yes"),
)
_TOP = ("bin", "lib", "lib64")
_FOLDERS = ("dev", "etc", "home", "proc", "root", "sys", "tmp", "usr/bin", "usr/lib", "usr/lib64", "var")


def write_rootfs(folder: Path) -> None:
    """Write the root file system to ``folder``, which must not exist."""
    for name in _FOLDERS:
        (folder / name).mkdir(parents=True)
    for name in _TOP:
        (folder / name).symlink_to(f"usr/{name}")
    (folder / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/bash\n")
    (folder / "etc" / "group").write_text("root:x:0:\n")
    libraries: set[str] = set()
    for name in _PROGRAMS:
        program = shutil.which(name)
        assert program, f"{name} is not installed"
        shutil.copy2(program, folder / "usr" / "bin" / name)
        listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
        libraries |= set(re.findall(r"(/\S+) \(0x", listed))
    for library in sorted(libraries):
        copy = folder / library[1:]
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(library, copy)
