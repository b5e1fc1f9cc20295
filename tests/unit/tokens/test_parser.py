"""The parser takes what models write for REASON and ACTION exactly as written, and refuses what holds no action."""

import contextlib
import random
import subprocess

import pytest

from leap_exp.core.errors import ParseError
from leap_exp.core.types import Decision
from leap_exp.envs.alfworld.prompts import PROMPTS
from leap_exp.envs.intercode_bash.engine.shell import Quoting
from leap_exp.students.weights import load_tokenizer
from leap_exp.tokens.codec import PromptCodec
from leap_exp.tokens.markup import BREAK, MESSAGES_MARKUP, PLAIN_MARKUP, Markup, plain_markup
from leap_exp.tokens.parser import cut_off_action, parse_decision, read_decision
from leap_exp.tokens.renderer import PromptConfig, Renderer

EXPECTED = Decision(reason="Mugs are often on desks.", action="go to desk 1")


@pytest.mark.parametrize(
    "text",
    [
        "REASON: Mugs are often on desks.\nACTION: go to desk 1",
        " REASON: Mugs are often on desks.\n ACTION: go to desk 1\n",
        "Reason: Mugs are often on desks.\nAction: go to desk 1",
        "Thought: Mugs are often on desks.\n\nAction: go to desk 1",
        "reasoning: Mugs are often on desks.\naction: go to desk 1",
        "**REASON**: Mugs are often on desks.\n**ACTION**: `go to desk 1`",
        "- REASON: Mugs are often on desks.\n- ACTION: go to desk 1",
        "REASON: Mugs are often on desks.\nACTION: 'go to desk 1'",
        'REASON: Mugs are often on desks.\nACTION: "go to desk 1"',
        "Mugs are often on desks.\nACTION: go to desk 1",
        "REASON: Mugs are often on desks.\nACTION: go to desk 1\nOBSERVATION: You see a mug.\nACTION: take mug 1",
        "Let me see.\nREASON: Mugs are often on desks.\nACTION: go to desk 1",
    ],
)
def test_reason_and_action_are_found_in_whatever_dress(text):
    assert parse_decision(text, reasons=True) == EXPECTED


def test_a_reason_may_have_several_lines():
    decision = parse_decision("REASON: Mugs are\noften on desks.\nACTION: look", reasons=True)
    assert decision == Decision(reason="Mugs are\noften on desks.", action="look")


def test_an_action_without_a_reason_is_enough():
    assert parse_decision("ACTION: look", reasons=True) == Decision(reason="", action="look")


def test_an_action_named_inside_the_reason_is_not_the_action():
    decision = parse_decision("REASON: The action: look was of no use.\nACTION: go to desk 1", reasons=True)
    assert decision.action == "go to desk 1"


@pytest.mark.parametrize(
    "text", ["", "\n", "go to desk 1", "REASON: because", "ACTION:", "REASON: because\nACTION: **"]
)
def test_without_an_action_field_there_is_no_decision_to_take(text):
    with pytest.raises(ParseError, match="No action"):
        parse_decision(text, reasons=True)


@pytest.mark.parametrize(
    "text",
    [
        " go to desk 1",
        "go to desk 1\nYou arrive at desk 1.",
        "\n\ngo to desk 1",
        "`go to desk 1`",
        "ACTION: go to desk 1",
    ],
)
def test_a_student_without_reasons_writes_the_action_on_its_first_line(text):
    assert parse_decision(text, reasons=False) == Decision(reason="", action="go to desk 1")


def test_a_student_without_reasons_that_gives_one_all_the_same_is_understood():
    decision = parse_decision("REASON: Mugs are often on desks.\nACTION: go to desk 1", reasons=False)
    assert decision == Decision(reason="", action="go to desk 1")


@pytest.mark.parametrize("text", ["", " \n ", "**"])
def test_a_student_without_reasons_that_writes_nothing_took_no_decision(text):
    with pytest.raises(ParseError, match="No action"):
        parse_decision(text, reasons=False)


@pytest.mark.parametrize(
    ("written", "action"),
    [
        ('ACTION: find . -name "*.txt"', 'find . -name "*.txt"'),
        ("ACTION: grep -c 'foo bar'", "grep -c 'foo bar'"),
        ("ACTION: ls *", "ls *"),
        ("ACTION: echo `date`", "echo `date`"),
        ("ACTION: 'a' && echo 'b'", "'a' && echo 'b'"),
        ("ACTION: `a` && echo `b`", "`a` && echo `b`"),
        ("ACTION: *.sh && ls *", "*.sh && ls *"),
        ("*ACTION: ls *", "ls *"),
        ("ACTION: `ls *`", "ls *"),
        ("ACTION: ``echo `date` ``", "echo `date` "),
        ('ACTION: `find . -name "*.txt"`', 'find . -name "*.txt"'),
        ("**ACTION: ls -l**", "ls -l"),
        ("**ACTION:** ls *", "ls *"),
        ("ACTION: **`ls *`**", "ls *"),
        ("ACTION: \u201cls -l\u201d", "ls -l"),
        ("Thought:\nThere is a search bar.\n\nAction:\nsearch[mirror]", "search[mirror]"),
        ("Thought 1: look\nAction 1: search[mirror]", "search[mirror]"),
        ("REASON: x\nACTION:\n```\nls -l\n```", "ls -l"),
        ("REASON: x\nACTION: ```bash\nls -l\n```\nThis lists them.", "ls -l"),
        ("REASON: x\nACTION:\n~~~\nls -l", "ls -l"),
        ("```\nREASON: x\nACTION: ls -l\n```", "ls -l"),
        ("THOUGHT: I should look there. ACTION: go to desk 1", "go to desk 1"),
        ("I should look there. ACTION: go to desk 1", "go to desk 1"),
        ('{\n  "action": "go to desk 1",\n  "reason": "why"\n}', "go to desk 1"),
        ('```json\n{"thought": "why", "action": "grep \\"a\\" f"}\n```', 'grep "a" f'),
        ("<think>\nAction: look\n</think>\n\nREASON: x\nACTION: go to desk 1", "go to desk 1"),
        ("Mugs, then desks.\n</think>\n\nACTION: go to desk 1", "go to desk 1"),
        ("[THINK]a[/THINK]ACTION: go to desk 1", "go to desk 1"),
        ("ACTION: grep '</think>' f", "grep '</think>' f"),
        ("ACTION: cat > f << EOF\nhi\nEOF", "cat > f << EOF\nhi\nEOF"),
        ("ACTION: cat > f <<-'E'; ls\n\thi\n\tE\nThen I look.", "cat > f <<-'E'; ls\n\thi\n\tE"),
        ("ACTION: rm -r a \\\n  b\nThen I look.", "rm -r a \\\n  b"),
        ("ACTION:\n```\ncd /tmp\nls\n```", "cd /tmp\nls"),
        ("ACTION: echo $((1<<n))\nThis shifts.", "echo $((1<<n))"),
        ("ACTION: cat <<< x\nThis prints.", "cat <<< x"),
        ("ACTION: ls\r\nThis lists.", "ls"),
    ],
)
def test_an_action_is_taken_as_written_without_what_wraps_the_whole_of_it(written, action):
    assert parse_decision(written, reasons=True).action == action


@pytest.mark.parametrize(
    ("written", "action"),
    [
        ("<think>\n\n</think>\n\ngo to desk 1", "go to desk 1"),
        ("```bash\nls -l\n```", "ls -l"),
        ('ls "a b"', 'ls "a b"'),
        ('{"action": "go to desk 1"}', "go to desk 1"),
        ("{ ls; pwd; }", "{ ls; pwd; }"),
        ("cat << EOF\nhi\nEOF\nDone.", "cat << EOF\nhi\nEOF"),
        ("THOUGHT: I should look there. ACTION: go to desk 1", "go to desk 1"),
        ("echo Thought: x. ACTION: y", "echo Thought: x. ACTION: y"),
    ],
)
def test_a_student_without_reasons_is_read_in_the_same_way(written, action):
    assert parse_decision(written, reasons=False) == Decision(reason="", action=action)


@pytest.mark.parametrize("reasons", [False, True])
def test_thinking_that_does_not_end_holds_no_action_and_counts_as_cut_off(reasons):
    decision = read_decision("<think>\nMaybe\nAction: rm -r x", reasons=reasons, cut_off=True)
    assert decision == Decision(reason="", action="(cut off) ''")
    assert decision.is_cut_off


@pytest.mark.parametrize(
    ("written", "action"),
    [
        ("REASON: x\nACTION: rm -r /tmp/a", "(cut off) 'rm -r /tmp/a'"),
        ("REASON: x\nACTION:", "(cut off) ''"),
        ("ACTION: cat > f << EOF\nhi", "(cut off) 'cat > f << EOF\\nhi'"),
        ("ACTION:\n```\nls\n", "(cut off) 'ls\\n'"),
        ("ACTION: ls\nThis prints", "ls"),
        ("ACTION:\n```\nls\n```", "ls"),
    ],
)
def test_half_an_action_is_not_carried_out(written, action):
    decision = read_decision(written, reasons=True, cut_off=True)
    assert decision.action == action
    assert decision.is_cut_off == (action != "ls")


def test_several_lines_without_an_action_are_quoted_so_that_no_shell_runs_them():
    assert read_decision("I will clean up:\nrm -r x", reasons=True).action == "(no action) 'I will clean up:\\nrm -r x'"
    assert read_decision("go to desk 1", reasons=True).action == "go to desk 1"


@pytest.mark.parametrize("quoting", Quoting)
@pytest.mark.parametrize(
    "text", ["touch f", "; touch f", "'; touch f; '", "\"; touch f; \"'x'", "&& touch f'", "it's\ntouch f"]
)
def test_a_shell_does_not_run_what_is_recorded_in_place_of_an_action(quoting, text, tmp_path):
    for action in (cut_off_action(text), read_decision(f"I see.\n{text}", reasons=True).action):
        with contextlib.suppress(ValueError):  # a quote that is not closed
            assert subprocess.run(quoting.arguments(action), cwd=tmp_path, check=False, capture_output=True).returncode
    assert not list(tmp_path.iterdir())


WORDS = [
    *("ls", "find . -name", "grep -c", "awk", "sed -n", "echo", "cat", "rm -r", "submit", "xargs -0", "cd"),
    *('"*.txt"', "'foo bar'", "*", "**", "`date`", "$(pwd)", "'{print $1}'", '"a \\"b\\" c"', "\\;", "\\(", "\\"),
    *(
        "|",
        "&&",
        "||",
        ";",
        ">",
        ">>",
        "2>&1",
        "<",
        "<<<",
        "<< EOF",
        "_",
        "__x__",
        "~",
        "#",
        "- ",
        "1.",
        "{",
        "}",
        "[[",
        "]]",
    ),
    *(
        "ACTION:",
        "Reason: x",
        "THOUGHT:",
        "</think>",
        "<think>",
        "<|im_end|>",
        "```",
        "``",
        "`",
        "'",
        '"',
        "\u201c\u201d",
    ),
    *('{"action": "ls"}', "{}", "REASON", "observation:", "\\n", "\t", "  ", "é", "日本", "\ud7ff", "\U0001f600"),
]
OBJECTS = ["mug 1", "desk 12", "fridge 1", "sinkbasin 2"]
COMMANDS = ["go to {}", "take {} from {}", "move {} to {}", "open {}", "examine {}", "use {}", "look", "inventory"]
PRODUCTS = ["men's shoes", 'size: 8" wide', "red [large]", "click", "**new**", "5` x 7`", "b000emwbv0", "'s", "a | b"]


def shell_command(rng):
    words = [rng.choice(WORDS) for _ in range(rng.randint(1, 6))]
    return rng.choice([" ", "", "  "]).join(words).strip() or "ls"


def household_command(rng):
    return rng.choice(COMMANDS).format(*[rng.choice(OBJECTS) for _ in range(2)])


def shop_action(rng):
    words = " ".join(rng.choice(PRODUCTS) for _ in range(rng.randint(1, 4)))
    return f"{rng.choice(['search', 'click'])}[{words}]"


CHAT = Markup(
    before_instructions="<|im_start|>system\n",
    after_instructions="<|im_end|>\n<|im_start|>user\n",
    before_response="<|im_end|>\n<|im_start|>assistant\n",
    after_response="<|im_end|>\n<|im_start|>user\n",
    controls=("<|im_start|>", "<|im_end|>"),
)
PLAIN = plain_markup(bos="", eos=None, controls=CHAT.controls)
PLAIN_WITH_EOS = plain_markup(bos="", eos="<|im_end|>", controls=CHAT.controls)
FORMATS = {"chat": CHAT, "plain": PLAIN, "plain until EOS": PLAIN_WITH_EOS}


@pytest.mark.parametrize("reasons", [False, True])
@pytest.mark.parametrize("markup", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("draw", [shell_command, household_command, shop_action])
def test_an_action_survives_rendering_encoding_decoding_and_parsing(draw, markup, reasons):
    tokenizer = load_tokenizer("tiny")

    def encode(text):
        return [i for piece in text.split(BREAK) for i in tokenizer(piece, add_special_tokens=False)["input_ids"]]

    renderer = Renderer(PROMPTS, markup, PromptConfig(reasons=reasons))
    codec = PromptCodec(renderer, encode, context_length=1000)
    rng = random.Random(f"{draw.__name__} {reasons}")
    for _ in range(1000):
        decision = Decision(reason=shell_command(rng) if reasons and rng.random() < 0.5 else "", action=draw(rng))
        ids = codec.response_ids(decision)
        if reasons and markup is PLAIN:
            assert ids[-1] == codec.stop_id
        else:
            assert ids.index(codec.stop_id) == len(ids) - 1, "nothing within a response ends it"
        assert not set(ids[:-1]) & {0, 1}, "no control token is within a response"
        assert parse_decision(tokenizer.decode(ids[:-1]), reasons=reasons).action == decision.action


def test_only_an_action_that_would_be_misread_is_written_differently():
    renderer = Renderer(PROMPTS, MESSAGES_MARKUP, PromptConfig(reasons=False))
    rng = random.Random(0)
    for _ in range(300):
        for action in (household_command(rng), f"find . -name '*.txt' -size +{rng.randint(1, 99)}k", "click[a 'b']"):
            assert renderer.response(Decision(reason="", action=action)) == [f" {action}"]
    assert renderer.response(Decision(reason="", action='"my script.sh"')) == [' `"my script.sh"`']


def test_an_action_of_several_lines_is_read_back_and_is_one_line_where_a_line_ends_the_response():
    decision = Decision(reason="", action="for f in *\ndo\n  rm $f\ndone")
    for reasons in (False, True):
        config = PromptConfig(reasons=reasons)
        written = "".join(Renderer(PROMPTS, MESSAGES_MARKUP, config).response(decision))
        assert parse_decision(written, reasons=reasons) == decision
    plain = Renderer(PROMPTS, PLAIN_MARKUP, PromptConfig(reasons=False))
    assert plain.response(decision) == [" for f in * do rm $f done"]
