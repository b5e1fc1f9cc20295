"""How changes to files are found: all of ``/`` is a git repository, as in the original image."""

IGNORED = (
    *("bin", "boot", "dev", "etc", "home", "lib", "media", "opt", "proc", "root", "run", "sbin", "srv", "sys", "usr"),
    "var",
    ".dockerenv",
)
"""Names that git ignores, at any depth."""

GIT_IGNORE = "".join(f"{name}\n" for name in IGNORED)

RESET = "git reset --hard; git clean -fd;"
"""With it the original begins every episode. It also removes empty folders, /tmp among them."""
STATUS = "git status --short;"

PREPARE = (
    "set -e; git config --global user.email nobody@example.org; git config --global user.name nobody; git init -q; "
    "git add -A; git commit -q -m 'initial commit'; " + RESET
)
"""Puts a file tree under version control and resets it once."""
