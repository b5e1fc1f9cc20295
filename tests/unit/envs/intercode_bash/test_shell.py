"""The shell of an episode: quoting, working directory and messages."""

import pytest

from leap_exp.envs.intercode_bash.engine.sandbox import CommandResult, Resource
from leap_exp.envs.intercode_bash.engine.shell import MALFORMED, TIMED_OUT, Quoting, Shell, resolve
from tests.support.sandboxes import TREE


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


@pytest.mark.parametrize(
    ("quoting", "text", "succeeded"), [(Quoting.ORIGINAL, MALFORMED, False), (Quoting.EXACT, "a\ufffdb\ufffd", True)]
)
def test_output_that_is_not_utf_8_is_malformed_in_the_original_and_has_marks_in_exact(quoting, text, succeeded):
    output = Shell(RecordingSandbox(success(b"a\xffb\xe2")), quoting).run("head -c 4 /dev/urandom")
    assert (output.text, output.succeeded) == (text, succeeded)


@pytest.mark.parametrize("quoting", Quoting)
def test_a_cut_through_a_character_is_no_bad_output(quoting):
    result = CommandResult(output="aé".encode()[:-1], exit_code=None, exceeded=Resource.OUTPUT)
    assert Shell(RecordingSandbox(result), quoting).run("yes é").text == "a\nKilled: it wrote too much."


@pytest.mark.parametrize("quoting", Quoting)
def test_a_command_that_wrote_too_much_but_ended_was_not_killed(quoting):
    result = CommandResult(output=b"some", exit_code=0, exceeded=Resource.OUTPUT)
    output = Shell(RecordingSandbox(result), quoting).run("seq 1000000")
    assert (output.text, output.succeeded) == ("some\n[The rest of the output is left out.]", True)


def test_bytes_before_a_time_out_do_not_matter():
    result = CommandResult(output=b"\xff" * 9, exit_code=None, exceeded=Resource.TIME)
    assert Shell(RecordingSandbox(result), Quoting.ORIGINAL).run("yes").text == TIMED_OUT


def test_in_the_original_all_of_what_follows_cd_is_the_folder():
    sandbox = RecordingSandbox(success())
    shell = Shell(sandbox, Quoting.ORIGINAL)
    shell.run("cd /testbed && ls")
    shell.run("ls")
    assert sandbox.calls[-1][1] == "/testbed && ls"


@pytest.fixture
def exact(any_engine):
    """Returns a function that runs commands with exact quoting one after the other and returns their outputs."""
    with any_engine().open(TREE) as machine:
        shell = Shell(machine, Quoting.EXACT)
        yield lambda *commands: [shell.run(command).text for command in commands]


@pytest.mark.parametrize(
    ("commands", "folder"),
    [
        (["cd /desk && ls"], "/desk"),
        (["cd desk", "cd drawer; ls"], "/desk/drawer"),
        (["cd desk/drawer", "cd .."], "/desk"),
        (["cd desk", "cd"], "/root"),
        (["cd desk", "cd ~"], "/root"),
        (["cd 'desk'"], "/desk"),
        (["ls /desk && cd /desk && cat note.txt | wc -l"], "/desk"),
        (["cd /desk; exit 3"], "/desk"),
        (["cd /desk; exec > /tmp/out; echo hidden"], "/desk"),
        (["pushd /desk/drawer > /dev/null"], "/desk/drawer"),
        (["if cd /desk; then false; fi"], "/desk"),
        # Not the shell's own folder.
        (["(cd /desk; ls)"], "/"),
        (["cd /nowhere && ls"], "/"),
        (["bash -c 'cd /desk'"], "/"),
        (["echo cd /desk"], "/"),
        (["cd /desk && ls &&"], "/"),
        (["ln -s /desk /short", "cd /short"], "/desk"),
        (["mkdir '/a b'; cd '/a b'"], "/a b"),
    ],
)
def test_in_exact_the_folder_is_the_one_in_which_the_shell_ended(exact, commands, folder):
    assert exact(*commands, "pwd")[-1] == f"{folder}\n"


def test_in_exact_a_command_that_changes_the_folder_shows_its_own_output_only(exact):
    assert exact("cd /desk && ls", "ls", "cd drawer; false") == ["drawer\nnote.txt\n", "drawer\nnote.txt\n", ""]


def test_in_exact_a_removed_folder_is_left(exact):
    outputs = exact("mkdir /gone; cd /gone", "rm -r /gone", "ls", "pwd")
    assert "no such file or directory" in outputs[2]
    assert outputs[3] == "/\n"
