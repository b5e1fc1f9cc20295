"""The shell of an episode: quoting, working directory and messages."""

import pytest

from leap_exp.envs.intercode_bash.engine.sandbox import CommandResult, Resource
from leap_exp.envs.intercode_bash.engine.shell import MALFORMED, TIMED_OUT, Quoting, Shell, resolve


class RecordingSandbox:
    """Gives the same result for every command and records the calls."""

    def __init__(self, result):
        self.result = result
        self.calls = []

    def run(self, arguments, *, workdir):
        self.calls.append((list(arguments), workdir))
        return self.result


def success(text=b""):
    return CommandResult(output=text, exit_code=0)


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ('find . -name "*.txt"', ["-c", "find . -name *.txt"]),
        ('grep "a b" f', ["-c", "grep a", "b f"]),
        (r'printf "a\nb"', ["-c", "printf anb"]),
        (r"printf 'a\nb'", ["-c", r"printf 'a\nb'"]),
        (r"find . -exec ls {} \;", ["-c", r"find . -exec ls {} \;"]),
        ("  ls  ", ["-c", "ls"]),
    ],
)
def test_in_original_quoting_double_quotes_end_the_command(command, arguments):
    assert Quoting.ORIGINAL.arguments(command) == ["/bin/bash", *arguments]


def test_exact_quoting_passes_the_command_unchanged():
    assert Quoting.EXACT.arguments(' grep "a b" f ') == ["/bin/bash", "-c", 'grep "a b" f']


@pytest.mark.parametrize(
    ("current", "target", "folder"),
    [
        ("/", "desk", "/desk"),
        ("/desk", "..", "/"),
        ("/desk", "../../x/./y", "/x/y"),
        ("/desk", "/else", "/else"),
        ("/desk", "", "/desk"),
        ("/desk", "~", "/desk/~"),
    ],
)
def test_folders_are_resolved_by_name(current, target, folder):
    assert resolve(current, target) == folder


def test_cd_changes_the_folder_of_later_commands_if_it_succeeds():
    sandbox = RecordingSandbox(success())
    shell = Shell(sandbox, Quoting.ORIGINAL)
    shell.run("cd desk")
    shell.run("ls")
    sandbox.result = CommandResult(output=b"no\n", exit_code=1)
    shell.run("cd nowhere")
    shell.run("ls")
    assert [workdir for _, workdir in sandbox.calls] == ["/", "/desk", "/", "/desk"]
    assert [arguments[2] for arguments, _ in sandbox.calls] == ["cd /desk", "ls", "cd /desk/nowhere", "ls"]


@pytest.mark.parametrize("command", ['echo "', "cd", "cdrom"])
def test_malformed_commands_are_not_run(command):
    sandbox = RecordingSandbox(success())
    output = Shell(sandbox, Quoting.ORIGINAL).run(command)
    assert (output.text, output.succeeded, sandbox.calls) == (MALFORMED, False, [])


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (CommandResult(output=b"\xff\xfe", exit_code=0), MALFORMED),
        (CommandResult(output=b"some", exit_code=None, exceeded=Resource.TIME), TIMED_OUT),
        (
            CommandResult(output=b"some", exit_code=None, exceeded=Resource.MEMORY),
            "some\nKilled: it used too much memory.",
        ),
    ],
)
def test_failures_give_a_message(result, text):
    output = Shell(RecordingSandbox(result), Quoting.ORIGINAL).run("ls")
    assert (output.text, output.succeeded) == (text, False)
