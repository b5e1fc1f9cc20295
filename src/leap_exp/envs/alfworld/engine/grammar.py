"""Compiler for a game's grammar, which defines the names of commands and the texts that answer them.

A grammar has a command template and a feedback symbol for every action, and rules for every symbol. A rule may have a
condition; the first rule whose condition holds is used. Its text consists of literals and

    #symbol#              the text of another symbol
    {o.name}              an expression over variables bound by the action or a query
    {... | query}         the expression for each solution of a query, concatenated
    [{... | query}]       the same as a list: "a, b, and c"
"""

import ast
import json
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TypedDict

from leap_exp.core.errors import DataError
from leap_exp.envs.alfworld.engine.domain import PARAMETERS, SCOPES
from leap_exp.envs.alfworld.engine.query import Atom, Query, Row, Scope, Solutions, relation
from leap_exp.envs.alfworld.engine.state import State

Text = Callable[[State, Row], str]
"""Renders a text for a state and the values of its variables."""

_Piece = str | Text
"""Part of a text: fixed, or to be rendered."""

TASK_PREFIX = "Your task is to: "

_ACTION = re.compile(r'\baction\s+([\w/-]+)\s*\{\s*template\s*::\s*"([^"]*)"\s*;\s*feedback\s*::\s*"([^"]*)"\s*;')
_RULES = re.compile(r'\bgrammar\s*::\s*"""(.*?)"""\s*;', re.DOTALL)
_TASK = re.compile(r'"rhs"\s*:\s*"(' + TASK_PREFIX + r'(?:[^"\\]|\\.)*)"')
_PIECE = re.compile(
    r"#(?P<symbol>[\w()/!<>\-\s,.]+)#"
    r"|(?P<list>\[)?\{(?P<expression>#[^#]+#|[^|{}\[\]\n<>]+?)(?:\s*\|\s*(?P<query>[^;|{}\n\[\]#]+))?\}(?(list)\])"
    r"|(?P<literal>[^\[\]#{}]+)"
)
_QUERY_ATOM = re.compile(r"\s*(\w+)\s*\(([^()]*)\)\s*(?:&|$)")


class _Rule(TypedDict, total=False):
    rhs: str
    condition: str


@dataclass(frozen=True, slots=True)
class Grammar:
    """The compiled texts of a game, by lower-case action name."""

    commands: Mapping[str, Text]
    feedback: Mapping[str, Text]
    intro: Text


def split_grammar(text: str) -> tuple[str, str]:
    """Return a grammar text without its task sentence, and this sentence with its prefix.

    Games usually differ only in their task sentence.

    Raises:
        DataError: There is no task sentence.
    """
    task = _TASK.search(text)
    if task is None:
        raise DataError(f'The grammar of the game has no rule that starts with "{TASK_PREFIX}".')
    return text[: task.start(1)] + text[task.end(1) :], json.loads(f'"{task[1]}"')


def with_task(text: str, sentence: str) -> str:
    """Return a grammar text with another task sentence; raises DataError if it has none."""
    task = _TASK.search(text)
    if task is None:
        raise DataError(f'The grammar of the game has no rule that starts with "{TASK_PREFIX}".')
    return text[: task.start(1)] + json.dumps(TASK_PREFIX + sentence)[1:-1] + text[task.end(1) :]


@lru_cache(maxsize=16)
def compile_grammar(text: str) -> Grammar:
    """Compile a grammar text without a task sentence. Games with equal grammars share it.

    Raises:
        DataError: The grammar is broken or uses something that the fast engine does not support.
    """
    rules: dict[str, list[_Rule]] = {}
    for block in _RULES.findall(text):
        lines = textwrap.dedent(block).split("\n")
        rules.update(json.loads("\n".join(line for line in lines if not line.lstrip().startswith("#"))))
    compiler = _Compiler(rules)
    actions = {name.lower(): (template, answer) for name, template, answer in _ACTION.findall(text)}
    missing = sorted(PARAMETERS.keys() - actions.keys())
    if missing:
        raise DataError(f"The grammar of the game does not define the actions {', '.join(missing)}.")
    return Grammar(
        commands={name: compiler.text(actions[name][0], SCOPES[name]) for name in PARAMETERS},
        feedback={name: compiler.text(actions[name][1], SCOPES[name]) for name in PARAMETERS},
        intro=compiler.text("#intro#", ()),
    )


class _Compiler:
    """Turns rules into functions that render text.

    What a text consists of depends only on its rules and on which variables have values, so all of that is settled
    here: fixed parts are joined, and each variable becomes a place in a row.
    """

    def __init__(self, rules: Mapping[str, list[_Rule]]) -> None:
        self._rules = rules
        self._symbols: dict[tuple[str, Scope], _Piece] = {}
        self._open: list[str] = []
        self._types = {name: kind for parameters in PARAMETERS.values() for name, kind in parameters.items()}

    def text(self, source: str, scope: Scope) -> Text:
        """Compile one text of the grammar for rows of ``scope``."""
        return _text(self._compile(source, scope))

    def _compile(self, source: str, scope: Scope) -> _Piece:
        # As TextWorld does, ignore white space at the start of a text.
        return _joined(self._pieces(source.lstrip(), scope))

    def _pieces(self, source: str, scope: Scope) -> Iterator[_Piece]:
        position = 0
        while position < len(source):
            match = _PIECE.match(source, position)
            if match is None:
                raise DataError(f"The grammar of the game has a syntax error at {source[position : position + 40]!r}.")
            position = match.end()
            yield self._piece(match, scope)

    def _piece(self, match: re.Match[str], scope: Scope) -> _Piece:
        if match["literal"]:
            return match["literal"].replace("\\n", "\n")
        if match["symbol"]:
            return self._symbol(match["symbol"], scope)
        # The query comes first: it may declare variables that the expression uses.
        query = self._query(match["query"]) if match["query"] else None
        solutions, inner_scope = query.solutions(scope) if query else (None, scope)
        inner = match["expression"]
        item = self._symbol(inner[1:-1], inner_scope) if inner.startswith("#") else self._expression(inner, inner_scope)
        if solutions is None:
            return item
        render = _text(item)
        if match["list"] and query and inner_scope == scope:
            # Nothing is sought, so there is one item at most.
            condition, empty = query.condition(scope), _text(self._symbol("list_empty", scope))
            return lambda state, row: (render if condition(state, row) else empty)(state, row)
        if match["list"]:
            return self._list(render, solutions, scope)
        return lambda state, row: "".join([render(state, found) for found in solutions(state, row)])

    def _list(self, item: Text, solutions: Solutions, scope: Scope) -> Text:
        empty, comma, last = (
            _text(self._symbol(f"list_{name}", scope)) for name in ("empty", "separator", "last_separator")
        )

        def render(state: State, row: Row) -> str:
            items = [item(state, found) for found in solutions(state, row)]
            if not items:
                return empty(state, row)
            if len(items) == 1:
                return items[0]
            return comma(state, row).join(items[:-1]) + last(state, row) + items[-1]

        return render

    def _symbol(self, name: str, scope: Scope) -> _Piece:
        if name == "task":
            return lambda state, _row: state.game.task_text
        if name not in self._rules:
            raise DataError(f"The grammar of the game uses the symbol #{name}# without defining it.")
        if name in self._open:
            raise DataError(f"The grammar of the game defines the symbol #{name}# in terms of itself.")
        if (name, scope) not in self._symbols:
            self._open.append(name)
            self._symbols[name, scope] = self._alternatives(name, scope)
            self._open.pop()
        return self._symbols[name, scope]

    def _alternatives(self, name: str, scope: Scope) -> _Piece:
        """Compile a symbol: the text of the first rule whose condition holds."""
        rules = [
            (
                self._query(rule["condition"]).condition(scope) if rule.get("condition") else None,
                self._compile(rule["rhs"], scope),
            )
            for rule in self._rules[name]
        ]
        if len(rules) == 1 and rules[0][0] is None:
            return rules[0][1]
        choices = [(condition, _text(text)) for condition, text in rules]

        def render(state: State, row: Row) -> str:
            for condition, text in choices:
                if condition is None or condition(state, row):
                    return text(state, row)
            raise DataError(f"No rule of the grammar's symbol #{name}# applies.")

        return render

    def _query(self, source: str) -> Query:
        atoms, position = [], 0
        while position < len(source):
            match = _QUERY_ATOM.match(source, position)
            if match is None:
                raise DataError(f"The grammar has a syntax error in the condition {source!r}.")
            position = match.end()
            names, kinds = [], []
            for argument in match[2].split(","):
                name, _, kind = argument.strip().partition(":")
                if self._types.setdefault(name, kind) != kind:
                    raise DataError(f"The grammar declares {name!r} both as {kind!r} and as {self._types[name]!r}.")
                names.append(name)
                kinds.append(kind)
            atoms.append(Atom(relation(match[1], kinds), tuple(names)))
        return Query(tuple(atoms), self._types, distinct=True)

    def _expression(self, source: str, scope: Scope) -> _Piece:
        try:
            return self._node(ast.parse(source.strip(), mode="eval").body, scope)
        except SyntaxError:
            raise DataError(f"The grammar has a syntax error in the expression {source!r}.") from None

    def _node(self, node: ast.expr, scope: Scope) -> _Piece:
        match node:
            case ast.Constant(value=str(literal)):
                return literal
            case ast.Name(id=variable) | ast.Attribute(value=ast.Name(id=variable), attr="name"):
                return self._name(variable, scope)
            case ast.Attribute(value=ast.Name(), attr="definite" | "indefinite" as attribute):
                return "the" if attribute == "definite" else "a"
            case ast.BinOp(op=ast.Add(), left=left, right=right):
                return _joined((self._node(left, scope), self._node(right, scope)))
            case ast.BoolOp(op=ast.Or(), values=[first, *_]):
                # "r.name or r.id": everything has a name, so the rest is never used.
                return self._node(first, scope)
        raise DataError(f"The grammar has an expression that the fast engine does not support: {ast.unparse(node)!r}.")

    def _name(self, variable: str, scope: Scope) -> Text:
        kind = self._types.get(variable)
        if kind not in ("object", "receptacle"):
            raise DataError(f"The grammar uses the name of {variable!r}, which is neither an object nor a receptacle.")
        if variable not in scope:
            raise DataError(f"The grammar uses the name of {variable!r} where it has no value.")
        place = scope.index(variable)
        if kind == "object":
            return lambda state, row: state.game.objects[row[place]].name
        return lambda state, row: state.game.receptacles[row[place]].name


def _joined(pieces: Iterable[_Piece]) -> _Piece:
    """Return the pieces as one. Neighbouring fixed pieces are joined now, the others whenever the text is rendered."""
    merged: list[_Piece] = []
    for piece in pieces:
        if isinstance(piece, str) and merged and isinstance(merged[-1], str):
            merged[-1] += piece
        else:
            merged.append(piece)
    if len(merged) < 2:
        return merged[0] if merged else ""
    texts = [piece for piece in merged if not isinstance(piece, str)]
    template = "".join(piece.replace("%", "%%") if isinstance(piece, str) else "%s" for piece in merged)
    if len(texts) == 1:
        (text,) = texts
        return lambda state, row: template % text(state, row)
    return lambda state, row: template % tuple([text(state, row) for text in texts])


def _text(piece: _Piece) -> Text:
    """Return a piece as a function, also if it is fixed."""
    return (lambda _state, _row: piece) if isinstance(piece, str) else piece
