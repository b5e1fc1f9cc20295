"""The documentation: links lead somewhere, commands exist with their options, and the tutorial shows real code."""

import io
import re
import shlex
import tomllib
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from leap_exp.cli.main import COMMANDS, main
from leap_exp.config.registry import conf_dir, register

ROOT = Path(__file__).parents[2]
PATTERNS = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/*.md",
    "examples/README.md",
    "experiments/*/README.md",
    "plugins/*/README.md",
)
PAGES = [page for pattern in PATTERNS for page in sorted(ROOT.glob(pattern))]

_FENCE = re.compile(r"^```.*?\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?<=\n\n)(?: {4}\S.*\n)+")
_INLINE = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_PLACEHOLDERS = ("…", "...", "[...]", "[…]")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


@each_page
def test_links_resolve(page):
    broken = []
    for link in _LINK.findall(_without_code(page)):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file) if file else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.append(link)
    assert broken == []


@each_page
def test_commands_exist(page):
    problems = [f"{command}: {problem}" for command in _commands(page) if (problem := _problem(command))]
    assert problems == []


def test_code_in_the_tutorial_is_that_of_the_examples():
    examples = "\n".join(path.read_text() for path in sorted(ROOT.glob("examples/*/*/*.py")))
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs/tutorial.md").read_text(), re.MULTILINE | re.DOTALL)
    assert blocks
    assert [block for block in blocks if block not in examples] == []


def _without_code(page):
    return _INLINE.sub("", _FENCE.sub("", page.read_text()))


def _anchors(page):
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", page.read_text()), re.MULTILINE)
    texts = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings]
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in texts}


def _commands(page):
    """Yield the words of each leap command in the code of a page, without comments and placeholders."""
    text = page.read_text()
    blocks = [*_FENCE.findall(text), *_INDENTED.findall(_FENCE.sub("", text))]
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines += [" ".join(code.split()) for code in _INLINE.findall(_FENCE.sub("", text))]
    for line in lines:
        words = line.removeprefix("$ ").strip()
        if not re.match(r"(leap|python -m leap_exp[.\w]*)( |$)", words):
            continue
        split = shlex.split(words, comments=True)
        command = (
            split[1:] if split[0] == "leap" else [split[2].removeprefix("leap_exp").lstrip(".") or "run", *split[3:]]
        )
        yield [word for word in command if word not in _PLACEHOLDERS]


def _problem(command):
    """What is wrong with a command, or an empty string."""
    name, *arguments = command or ["--help"]
    if name.startswith("-") or _is_placeholder(name):
        return ""
    if name not in COMMANDS:
        return "there is no such command"
    return _run_problem(arguments) if name in ("run", "eval") else _option_problem(name, arguments)


def _is_placeholder(word):
    return word.isupper() or "|" in word


def _option_problem(name, arguments):
    """What is wrong with a command whose options its --help lists."""
    words = [word.strip("[]") for word in arguments]
    if words and words[0] in _example_names():
        # The commands of plugins are not installed here.
        return ""
    depth = {"analyse": 0, "report": 0, "data": 1}.get(name, 1) + (words[:1] == ["import-demonstrations"])
    path = [name, *words[:depth]]
    if any(word.startswith("-") or _is_placeholder(word) for word in path):
        path = path[:1]
    text = _help(*path)
    if text is None:
        return "there is no such command"
    return ", ".join(f"no option {word}" for word in words if word.startswith("--") and word not in text)


@cache
def _help(*path):
    """The words of a command's help, or None if there is no such command."""
    output = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(output), redirect_stderr(io.StringIO()):
        patch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as leaving:
            main([*path, "--help"])
    return None if leaving.value.code else set(re.findall(r"--[\w-]+", output.getvalue()))


def _run_problem(arguments):
    """What is wrong with the settings of ``leap run`` or ``leap eval``."""
    # Of a sweep's values, the first.
    overrides = [
        word if re.search(r"[\[{']", word) else word.partition(",")[0]
        for word in arguments
        if re.match(r"[a-z][\w@./]*=", word)
    ]
    # Components of the examples and plugins are not installed here, and "mine" is the reader's own.
    missing = {word.partition("=")[0] for word in overrides if word.partition("=")[2] in {"mine", *_example_names()}}
    if find_spec("submitit") is None:
        missing |= {"hydra/launcher", "hydra.launcher"}
    known = [word for word in overrides if not any(re.match(rf"{re.escape(name)}[.@=]", word) for name in missing)]
    register()
    try:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            compose("config", overrides=known)
    except (HydraException, OmegaConfBaseException) as error:
        return " ".join(str(error).split())
    return ""


@cache
def _example_names():
    """The members that the examples and plugins add to groups."""
    names = {path.stem for folder in ("examples", "plugins") for path in ROOT.glob(f"{folder}/*/*/conf/*/*.yaml")}
    for project in [*ROOT.glob("examples/*/pyproject.toml"), *ROOT.glob("plugins/*/pyproject.toml")]:
        for group in tomllib.loads(project.read_text())["project"].get("entry-points", {}).values():
            names |= group.keys()
    return names
