import pytest

from leap_exp.envs.intercode_bash.sandbox import Excess, Outcome
from leap_exp.envs.intercode_bash.shell import MALFORMED, TIMED_OUT, Quoting, Shell, resolve


class RecordingSandbox:
    """Answers every command with the same outcome and notes what it was given."""

    def __init__(self, outcome):
        self.outcome = outcome
        self.calls = []

    def run(self, arguments, *, workdir):
        self.calls.append((list(arguments), workdir))
        return self.outcome


def fine(text=b""):
    return Outcome(output=text, exit_code=0)


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
def test_the_original_quoting_lets_double_quotes_end_the_command(command, arguments):
    assert Quoting.ORIGINAL.arguments(command) == ["/bin/bash", *arguments]


def test_exact_quoting_passes_the_command_as_it_is():
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
def test_folders_are_resolved_by_their_names(current, target, folder):
    assert resolve(current, target) == folder


def test_a_change_of_folder_lasts_if_it_succeeded_and_every_other_command_runs_there():
    sandbox = RecordingSandbox(fine())
    shell = Shell(sandbox, Quoting.ORIGINAL)
    shell.run("cd desk")
    shell.run("ls")
    sandbox.outcome = Outcome(output=b"no\n", exit_code=1)
    shell.run("cd nowhere")
    shell.run("ls")
    assert [workdir for _, workdir in sandbox.calls] == ["/", "/desk", "/", "/desk"]
    assert [arguments[2] for arguments, _ in sandbox.calls] == ["cd /desk", "ls", "cd /desk/nowhere", "ls"]


@pytest.mark.parametrize("command", ['echo "', "cd", "cdrom"])
def test_what_cannot_be_cut_into_words_is_malformed_and_not_run(command):
    sandbox = RecordingSandbox(fine())
    answer = Shell(sandbox, Quoting.ORIGINAL).run(command)
    assert (answer.text, answer.succeeded, sandbox.calls) == (MALFORMED, False, [])


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (Outcome(output=b"\xff\xfe", exit_code=0), MALFORMED),
        (Outcome(output=b"some", exit_code=None, excess=Excess.TIME), TIMED_OUT),
        (Outcome(output=b"some", exit_code=None, excess=Excess.MEMORY), "some\nKilled: it used too much memory."),
    ],
)
def test_what_went_wrong_is_said(outcome, text):
    answer = Shell(RecordingSandbox(outcome), Quoting.ORIGINAL).run("ls")
    assert (answer.text, answer.succeeded) == (text, False)
