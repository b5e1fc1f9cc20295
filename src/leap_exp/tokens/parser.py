"""The parser of responses: from a model's text to a decision, and how an action is written so that it is read back.

An action is taken exactly as written, because shell commands end in quotes, stars and backticks all the time. Only what
wraps the whole of it comes off: bold marks, then one pair of quotes, a code span or a code fence.
"""

import re
from functools import lru_cache
from itertools import count

from leap_exp.core.errors import ParseError
from leap_exp.core.types import CUT_OFF, NO_ACTION, Decision
from leap_exp.tokens.json_answers import read_object

EMPTY_ACTION = "(nothing)"
"""The action recorded for an empty response; no environment admits it."""

THOUGHT_START = "<think>"
"""Begins thoughts; for responses to a template that has opened them already."""

_CUT = "\ufdd0"
"""Marks where a response was cut off: a code point that is no character, so in no text."""


def _field(names: str) -> re.Pattern[str]:
    """Return the pattern of a field's name at the start of a line, with or without markdown.

    Bold marks that open before the name and do not close around it wrap the whole line; they are the group ``bold``.
    """
    name = rf"(?:`(?:{names})`|(?:{names})(?: \d+)?)"
    lead = r"^[ \t]*(?:\d+[.)][ \t]+)?[^\w\"'`{}\n]*?"
    closed = rf"(?P<mark>\*{{1,3}}|_{{1,3}}){name}(?:(?P=mark)[ \t]*:|[ \t]*:(?P=mark))"
    bold = rf"(?P<bold>\*{{2,3}}|_{{2,3}}){name}[ \t]*:"
    plain = rf"{name}[\])>]*[ \t]*:"
    return re.compile(rf"{lead}(?:{closed}|{bold}|{plain})[ \t]*", re.IGNORECASE | re.MULTILINE)


_REASON_NAMES = ("reason", "reasoning", "thought", "thoughts")
_ACTION = _field("action")
_REASON = _field("reason(?:ing)?|thoughts?")
_ANY_FIELD = _field("reason(?:ing)?|thoughts?|action|observation")
_INLINE_ACTION = re.compile(r"(?<=\s)(?:\*\*)?(?:ACTION|Action)(?:\*\*)?[ \t]*:(?:\*\*)?[ \t]*")
_THOUGHT_START = re.compile(r"\s*(?:<think(?:ing)?>|\[THINK\])", re.IGNORECASE)
_THOUGHT_END = re.compile(r"(?:</think(?:ing)?>|\[/THINK\])", re.IGNORECASE)
_LONE_THOUGHT_END = re.compile(r"(?:</think(?:ing)?>|\[/THINK\])[ \t]*(?:\n|\Z)", re.IGNORECASE)
_TAGGED = {name: re.compile(rf"<{name}>(.*?)</{name}>", re.DOTALL) for name in ("think", "action")}
_FENCED = re.compile(
    rf"\s*?(?P<fence>`{{3,}}|~{{3,}})[^`\n]*\n(?P<content>.*?)(?:(?P=fence)[`~]*[ \t{_CUT}]*$|\Z)",
    re.DOTALL | re.MULTILINE,
)
_CODE_SPAN = re.compile(r"(?P<ticks>`+)(?!`)(?P<code>.+)(?<!`)(?P=ticks)")
_BOLD = re.compile(r"(?P<mark>\*{2,3}|__)(?=\S)(?P<inner>(?:(?!(?P=mark)).)+)(?<=\S)(?P=mark)")
_QUOTED = re.compile(r"'([^'\n]+)'|\"([^\"\n]+)\"|\u201c([^\u201c\u201d\n]+)\u201d|\u2018([^\u2018\u2019\n]+)\u2019")
_ONLY_MARKS = re.compile(r"[*_`~\"']+")
_HEREDOC = re.compile(r"(?<!<)<<-?[ \t]*(?P<quote>[\"']?)\\?(?P<end>[A-Za-z_]\w*)(?P=quote)")


def parse_decision(text: str, *, reasons: bool) -> Decision:
    """Parse a response. What the model thought before it (``<think>…</think>``) is left out.

    With ``reasons``, a reason field and an action field are expected, in any case and with or without markdown, or a
    JSON object with them; an action field alone is enough. Without ``reasons``, the first line is the action, with or
    without the field name. An action has several lines if they are in a code fence, belong to a here-document, or end
    with a backslash. Other lines after it are left out.

    Raises:
        ParseError: There is no action.
    """
    text = _without_thoughts(text.replace("\r\n", "\n"))
    whole = _FENCED.fullmatch(text.strip())
    inside = whole["content"] if whole else text
    if reasons or _ACTION.search(inside):
        text = inside
    reason_field = _REASON.search(text)
    field = (_ACTION.search(text, reason_field.end()) if reason_field else None) or _ACTION.search(text)
    if field is None and (reasons or inside.lstrip().startswith("{")):
        decision = _json_decision(inside, reasons=reasons)
        if decision is not None:
            return decision
    if field is None and (reasons or _REASON.match(text.lstrip())):
        field = _INLINE_ACTION.search(text)
    if field is not None:
        reason = _reason(text[: field.start()]) if reasons else ""
        return Decision(reason=reason, action=_action(text[field.end() :], bold=field.groupdict().get("bold")))
    if reasons:
        raise ParseError(f"No action field in {text!r}.")
    return Decision(reason="", action=_action(text))


def read_decision(text: str, *, reasons: bool, cut_off: bool = False) -> Decision:
    """Parse a response; one without an action becomes, as a whole, an action that no environment admits.

    One line without an action field is recorded as it is, because models often write the action alone. Several lines
    are quoted, ``(no action) '...'``, so that no shell runs them. If the response was ``cut_off`` before its action was
    complete, or while the model was thinking, the decision is ``(cut off) '...'``: half an action is never carried out.
    """
    try:
        decision = parse_decision(text + _CUT if cut_off else text, reasons=reasons)
    except ParseError:
        thinking = _is_thinking(text)
        rest = "" if thinking else _without_thoughts(text).strip()
        if thinking or cut_off:
            return Decision(reason="", action=cut_off_action(rest))
        return Decision(reason="", action=_quoted(NO_ACTION, rest) if "\n" in rest else rest or EMPTY_ACTION)
    reason, action = decision.reason.replace(_CUT, ""), decision.action
    return Decision(reason=reason, action=cut_off_action(action.replace(_CUT, "")) if _CUT in action else action)


def read_tagged(text: str, *, cut_off: bool = False) -> Decision:
    """Parse a response with ``<think>…</think>`` and ``<action>…</action>``: the first action, wherever it is.

    A response without an action becomes, as in ``read_decision``, an action that no environment admits.
    """
    reason, action = (_TAGGED[name].search(text) for name in ("think", "action"))
    if action is None or not action[1].strip():
        return Decision(reason="", action=_quoted(CUT_OFF if cut_off else NO_ACTION, text.strip()))
    return Decision(reason=reason[1].strip() if reason else "", action=action[1].strip())


def cut_off_action(text: str) -> str:
    """Return what is recorded in place of an action that was cut off after ``text``; no shell runs it."""
    return _quoted(CUT_OFF, text)


def _quoted(mark: str, text: str) -> str:
    """Return ``mark`` and ``text`` on one line. A shell finds a syntax error in it before it runs anything."""
    escaped = text.replace("\\", "\\\\").replace("\n", "\\n")
    return f"{mark} '{escaped}'"


def is_unfinished(line: str) -> bool:
    """Return whether a command goes on after ``line``: with a here-document, or after a backslash."""
    return bool(_heredoc_ends(line)) or _goes_on(line)


@lru_cache(maxsize=65_536)
def written_action(action: str) -> str:
    """Return ``action`` as a response holds it, so that the parser reads exactly this action.

    That is nearly always ``action`` itself. One that would be read as another, because it is itself in quotes or begins
    with a field's name, is put into a code span, or into a code fence if it has several lines.
    """
    if not action.strip() or _is_read_back(action):
        return action
    runs = {len(run) for run in re.findall("`+", action)}
    if "\n" in action:
        fence = "`" * max([3, *(run + 1 for run in runs)])
        return f"\n{fence}\n{action}\n{fence}"
    ticks = "`" * next(length for length in count(1) if length not in runs)
    padding = " " if "`" in (action[0], action[-1]) or (action[0] == action[-1] == " ") else ""
    return f"{ticks}{padding}{action}{padding}{ticks}"


def _is_read_back(action: str) -> bool:
    try:
        alone = parse_decision(f" {action}", reasons=False)
        after_reason = parse_decision(f"REASON: \nACTION: {action}", reasons=True)
    except ParseError:
        return False
    return alone.action == after_reason.action == action


def _is_thinking(text: str) -> bool:
    """Return whether ``text`` ends within thoughts."""
    try:
        _without_thoughts(text)
    except ParseError:
        return True
    return False


def _without_thoughts(text: str) -> str:
    """Return ``text`` without the thoughts before the answer. Some templates open them, so their start may be missing.

    Raises:
        ParseError: The thoughts do not end.
    """
    while start := _THOUGHT_START.match(text):
        end = _THOUGHT_END.search(text, start.end())
        if end is None:
            raise ParseError("No action: the response ends while the model is thinking.")
        text = text[end.end() :]
    ends = list(_LONE_THOUGHT_END.finditer(text))
    return text[ends[-1].end() :] if ends else text


def _json_decision(text: str, *, reasons: bool) -> Decision | None:
    """Return the decision in a JSON object with an action, or None if there is none."""
    for key in ("action", "Action", "ACTION"):
        try:
            fields = {name.lower(): value for name, value in read_object(text, key).items()}
        except ParseError:
            continue
        action = fields["action"]
        if isinstance(action, str) and action.strip():
            given = (fields.get(name) for name in _REASON_NAMES)
            reason = next((value.strip() for value in given if isinstance(value, str)), "")
            return Decision(reason=reason if reasons else "", action=action.strip())
    return None


def _reason(before: str) -> str:
    """Return the reason in the text before the action field: after the reason field, or all of it."""
    field = _REASON.search(before)
    if field is None:
        return before.strip()
    return before[field.end() :].strip().removesuffix(field["bold"] or "").rstrip()


def _action(value: str, *, bold: str | None = None) -> str:
    """Return the action at the beginning of ``value``; ``bold`` marks at its end belong to the field.

    Raises:
        ParseError: There is none.
    """
    fenced = _FENCED.match(value)
    if fenced:
        content = fenced["content"].strip("\n").rstrip()
        action = content if "\n" in content else content.lstrip()
    else:
        start = len(value) - len(value.lstrip())
        named = _ANY_FIELD.match(value, start) if "\n" in value[:start] else None
        written = "" if named else _first_command(value[start:]).rstrip()
        if bold:
            written = written.removesuffix(bold).rstrip()
        action = _unwrapped(written)
    if not action.strip():
        raise ParseError(f"No action in {value!r}.")
    return action


def _first_command(text: str) -> str:
    """Return the first line of ``text``, with the lines that a shell would read as part of the same command."""
    first, *rest = text.split("\n")
    lines = [first]
    while rest and _goes_on(lines[-1]):
        lines.append(rest.pop(0))
    for end in _heredoc_ends(lines[-1]):
        while rest:
            lines.append(rest.pop(0))
            if lines[-1].strip() == end:
                break
    return "\n".join(lines)


def _heredoc_ends(line: str) -> list[str]:
    """Return the words that end the here-documents that ``line`` begins; ``<<`` in arithmetic begins none."""
    return [found["end"] for found in _HEREDOC.finditer(line) if "((" not in line[: found.start()]]


def _goes_on(line: str) -> bool:
    """Return whether ``line`` ends with a backslash that is not itself escaped."""
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1


def _unwrapped(action: str) -> str:
    """Return ``action`` without bold marks, a code span or a pair of quotes around the whole of it."""
    bold = _BOLD.fullmatch(action)
    if bold:
        action = bold["inner"]
    span = _CODE_SPAN.fullmatch(action)
    if span and span["ticks"] not in re.findall("`+", span["code"]):
        code = span["code"]
        return code[1:-1] if code.strip() and code[0] == code[-1] == " " else code
    if _ONLY_MARKS.fullmatch(action):
        return ""
    quoted = _QUOTED.fullmatch(action)
    return next(inner for inner in quoted.groups() if inner) if quoted else action
