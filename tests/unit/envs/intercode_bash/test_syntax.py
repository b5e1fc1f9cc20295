"""Parsing commands, and the heuristic command for a query."""

import pytest

from leap_exp.envs.intercode_bash.teaching.heuristics import heuristic_command
from leap_exp.envs.intercode_bash.teaching.syntax import changes_files, parts, paths, same_command


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("ls  -l /desk", "ls -l '/desk'", True),
        ("grep -c x f|wc -l", "grep -c x f | wc -l", True),
        ("ls -l /desk", "ls -a /desk", False),
        ("echo 'a b'", "echo a b", False),
    ],
)
def test_commands_are_equal_up_to_blanks_and_quotes(first, second, same):
    assert same_command(first, second) is same


@pytest.mark.parametrize(
    ("command", "changes"),
    [
        ("ls > list", True),
        ("ls > /dev/null", False),
        (r"find / -name x -exec rm {} \;", True),
        ("cat names | xargs rm", True),
        ("find /desk -delete", True),
        ("tar -tf a.tar", False),
        ("tar -xf a.tar", True),
        ("sed -i s/a/b/ f", True),
        ("sed s/a/b/ f", False),
        ("gzip -dc f.gz", False),
        ("gzip f", True),
        ("grep x f", False),
    ],
)
def test_commands_that_change_files_are_recognised(command, changes):
    assert changes_files(command) is changes


def test_a_command_is_split_into_programs():
    parsed = [(part.program, part.operator) for part in parts("sort < /a/b | uniq -c && echo done; ls")]
    assert parsed == [("sort", ""), ("uniq", "|"), ("echo", "&&"), ("ls", ";")]
    assert [part.program for part in parts("< /a/b wc -l")] == ["wc"]


def test_paths_inside_quotes_are_ignored():
    assert paths("cp /a/b.txt /c/ > /dev/null; grep 'see /d/e' /f/*.txt") == ("/a/b.txt", "/c", "/f")


@pytest.mark.parametrize(
    ("query", "command"),
    [
        ("Find all .txt files in /docs and count them", "find /docs -type f -name '*.txt' | wc -l"),
        ("Print the last 3 lines of /a/b.txt", "tail -n 3 /a/b.txt"),
        ("Search for 'fish' in /pond/list.txt", "grep 'fish' /pond/list.txt"),
        ("Copy /a/b.txt to /c", "cp /a/b.txt /c"),
        ("Find empty directories in /x", "find /x -type d -empty"),
        ("Print 'good morning'", "echo 'good morning'"),
    ],
)
def test_the_heuristic_command_follows_the_words_of_the_query(query, command):
    assert heuristic_command(query) == command
