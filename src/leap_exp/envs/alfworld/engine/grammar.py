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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TypedDict

from leap_exp.core.errors import DataError
from leap_exp.envs.alfworld.engine.domain import PARAMETERS
from leap_exp.envs.alfworld.engine.query import Atom, Bindings, Query, relation
from leap_exp.envs.alfworld.engine.state import State

Text = Callable[[State, Bindings], str]
"""Renders a text for a state and the values of its variables."""

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


def read_grammar(text: str) -> tuple[Grammar, str]:
    """Return the compiled grammar and the task sentence, with its prefix, of a grammar text.

    Games usually differ only in their task sentence, so they share one compiled grammar.

    Raises:
        DataError: The grammar is broken or uses something that the fast engine does not support.
    """
    task = _TASK.search(text)
    if task is None:
        raise DataError(f'The grammar of the game has no rule that starts with "{TASK_PREFIX}".')
    sentence = json.loads(f'"{task[1]}"')
    return _compile(text[: task.start(1)] + text[task.end(1) :]), sentence


def with_task(text: str, sentence: str) -> str:
    """Return a grammar text with another task sentence; raises DataError if it has none."""
    task = _TASK.search(text)
    if task is None:
        raise DataError(f'The grammar of the game has no rule that starts with "{TASK_PREFIX}".')
    return text[: task.start(1)] + json.dumps(TASK_PREFIX + sentence)[1:-1] + text[task.end(1) :]


@lru_cache(maxsize=16)
def _compile(text: str) -> Grammar:
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
        commands={name: compiler.text(actions[name][0]) for name in PARAMETERS},
        feedback={name: compiler.text(actions[name][1]) for name in PARAMETERS},
        intro=compiler.text("#intro#"),
    )


class _Compiler:
    """Turns rules into functions that render text."""

    def __init__(self, rules: Mapping[str, list[_Rule]]) -> None:
        self._rules = rules
        self._symbols: dict[str, Text | None] = {"task": lambda state, _bindings: state.game.task_text}
        self._types = {name: kind for parameters in PARAMETERS.values() for name, kind in parameters.items()}

    def text(self, source: str) -> Text:
        """Compile one text of the grammar."""
        # As TextWorld does, ignore white space at the start of a text.
        pieces = list(self._pieces(source.lstrip()))
        if len(pieces) == 1:
            return pieces[0]
        return lambda state, bindings: "".join([piece(state, bindings) for piece in pieces])

    def _pieces(self, source: str) -> Iterator[Text]:
        position = 0
        while position < len(source):
            match = _PIECE.match(source, position)
            if match is None:
                raise DataError(f"The grammar of the game has a syntax error at {source[position : position + 40]!r}.")
            position = match.end()
            yield self._piece(match)

    def _piece(self, match: re.Match[str]) -> Text:
        if match["literal"]:
            literal = match["literal"].replace("\\n", "\n")
            return lambda _state, _bindings: literal
        if match["symbol"]:
            return self._symbol(match["symbol"])
        # The query comes first: it may declare variables that the expression uses.
        query = self._query(match["query"]) if match["query"] else None
        inner = match["expression"]
        item = self._symbol(inner[1:-1]) if inner.startswith("#") else self._expression(inner)
        if query is None:
            return item
        if match["list"]:
            return self._list(item, query)
        return lambda state, bindings: "".join([item(state, found) for found in query.solutions(state, bindings)])

    def _list(self, item: Text, query: Query) -> Text:
        empty, comma, last = (self._symbol(f"list_{name}") for name in ("empty", "separator", "last_separator"))

        def render(state: State, bindings: Bindings) -> str:
            items = [item(state, found) for found in query.solutions(state, bindings)]
            if not items:
                return empty(state, bindings)
            if len(items) == 1:
                return items[0]
            return comma(state, bindings).join(items[:-1]) + last(state, bindings) + items[-1]

        return render

    def _symbol(self, name: str) -> Text:
        if name not in self._symbols:
            if name not in self._rules:
                raise DataError(f"The grammar of the game uses the symbol #{name}# without defining it.")
            self._symbols[name] = None
            self._symbols[name] = self._alternatives(name)
        text = self._symbols[name]
        if text is None:
            raise DataError(f"The grammar of the game defines the symbol #{name}# in terms of itself.")
        return text

    def _alternatives(self, name: str) -> Text:
        """Compile a symbol: the text of the first rule whose condition holds."""
        rules = [
            (self._query(rule["condition"]) if rule.get("condition") else None, self.text(rule["rhs"]))
            for rule in self._rules[name]
        ]
        if len(rules) == 1 and rules[0][0] is None:
            return rules[0][1]

        def render(state: State, bindings: Bindings) -> str:
            for condition, text in rules:
                if condition is None or condition.holds(state, bindings):
                    return text(state, bindings)
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

    def _expression(self, source: str) -> Text:
        try:
            return self._node(ast.parse(source.strip(), mode="eval").body)
        except SyntaxError:
            raise DataError(f"The grammar has a syntax error in the expression {source!r}.") from None

    def _node(self, node: ast.expr) -> Text:
        match node:
            case ast.Constant(value=str(literal)):
                return lambda _state, _bindings: literal
            case ast.Name(id=variable) | ast.Attribute(value=ast.Name(id=variable), attr="name"):
                return self._name(variable)
            case ast.Attribute(value=ast.Name(), attr="definite" | "indefinite" as attribute):
                article = "the" if attribute == "definite" else "a"
                return lambda _state, _bindings: article
            case ast.BinOp(op=ast.Add(), left=left_node, right=right_node):
                left, right = self._node(left_node), self._node(right_node)
                return lambda state, bindings: left(state, bindings) + right(state, bindings)
            case ast.BoolOp(op=ast.Or(), values=[first, *_]):
                # "r.name or r.id": everything has a name, so the rest is never used.
                return self._node(first)
        raise DataError(f"The grammar has an expression that the fast engine does not support: {ast.unparse(node)!r}.")

    def _name(self, variable: str) -> Text:
        kind = self._types.get(variable)
        if kind == "object":
            return lambda state, bindings: state.game.objects[bindings[variable]].name
        if kind == "receptacle":
            return lambda state, bindings: state.game.receptacles[bindings[variable]].name
        raise DataError(f"The grammar uses the name of {variable!r}, which is neither an object nor a receptacle.")
