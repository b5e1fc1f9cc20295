"""The rules that the fast engine implements, and a check that a game's PDDL domain has the same rules."""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

from leap_exp.core.errors import DataError
from leap_exp.envs.alfworld.engine.pddl import Expression, flat_list, parse_expression, typed_names

_AGENT = {"a": "agent"}
_AT = {**_AGENT, "l": "location"}

PARAMETERS: Mapping[str, Mapping[str, str]] = {
    "look": _AT,
    "inventory": _AGENT,
    "help": _AGENT,
    "examinereceptacle": {**_AGENT, "r": "receptacle"},
    "examineobject": {**_AGENT, "o": "object"},
    "gotolocation": {**_AGENT, "lstart": "location", "lend": "location", "r": "receptacle"},
    "openobject": {**_AT, "r": "receptacle"},
    "closeobject": {**_AT, "r": "receptacle"},
    "pickupobject": {**_AT, "o": "object", "r": "receptacle"},
    "putobject": {**_AT, "o": "object", "r": "receptacle", "ot": "otype", "rt": "rtype"},
    "cleanobject": {**_AT, "r": "receptacle", "o": "object"},
    "heatobject": {**_AT, "r": "receptacle", "o": "object"},
    "coolobject": {**_AT, "r": "receptacle", "o": "object"},
    "toggleobject": {**_AT, "o": "object", "r": "receptacle"},
    "sliceobject": {**_AT, "co": "object", "ko": "object"},
}
"""The type of each parameter of each action."""

SCOPES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("look", "inventory", "help"), ("a", "l", "", "", "")),
    **dict.fromkeys(("examinereceptacle", "openobject", "closeobject"), ("a", "l", "", "r", "")),
    **dict.fromkeys(("examineobject", "toggleobject"), ("a", "l", "o", "", "")),
    **dict.fromkeys(("pickupobject", "putobject", "cleanobject", "heatobject", "coolobject"), ("a", "l", "o", "r", "")),
    "gotolocation": ("a", "lend", "", "r", ""),
    "sliceobject": ("a", "l", "co", "", "ko"),
}
"""The variables that have values in the texts of each action: the agent, a location, object, receptacle and tool."""

_HERE = "(atlocation ?a ?l) (receptacleatlocation ?r ?l)"
_REACHABLE = "(or (not (openable ?r)) (opened ?r))"

# Precondition and effect of each action, without costs and without predicates that no rule reads (checked, isOn).
_RULES: Mapping[str, tuple[str, str]] = {
    "look": ("(atlocation ?a ?l)", ""),
    "inventory": ("", ""),
    "help": ("", ""),
    "examinereceptacle": (f"(exists (?l - location) (and {_HERE}))", ""),
    # The official domain also allows objects in view, but a misspelt type there ("location,") prevents it.
    "examineobject": ("(holds ?a ?o)", ""),
    "gotolocation": (
        "(atlocation ?a ?lstart) (receptacleatlocation ?r ?lend)",
        "(not (atlocation ?a ?lstart)) (atlocation ?a ?lend)",
    ),
    "openobject": (f"(openable ?r) {_HERE} (not (opened ?r))", "(opened ?r)"),
    "closeobject": (f"(openable ?r) {_HERE} (opened ?r)", "(not (opened ?r))"),
    "pickupobject": (
        f"(pickupable ?o) {_HERE} (inreceptacle ?o ?r) (not (holdsany ?a)) {_REACHABLE}",
        "(not (inreceptacle ?o ?r)) (not (objectatlocation ?o ?l)) (holds ?a ?o) (holdsany ?a)",
    ),
    "putobject": (
        f"(holds ?a ?o) {_HERE} {_REACHABLE} (objecttype ?o ?ot) (receptacletype ?r ?rt) (cancontain ?rt ?ot)",
        "(inreceptacle ?o ?r) (objectatlocation ?o ?l) (not (holds ?a ?o)) (not (holdsany ?a))",
    ),
    "cleanobject": (f"(cleanable ?o) (receptacletype ?r sinkbasintype) {_HERE} (holds ?a ?o)", "(isclean ?o)"),
    "heatobject": (
        f"(heatable ?o) (receptacletype ?r microwavetype) {_HERE} (holds ?a ?o)",
        "(ishot ?o) (not (iscool ?o))",
    ),
    "coolobject": (
        f"(coolable ?o) (receptacletype ?r fridgetype) {_HERE} (holds ?a ?o)",
        "(iscool ?o) (not (ishot ?o))",
    ),
    "toggleobject": (f"(toggleable ?o) {_HERE} (inreceptacle ?o ?r)", "(istoggled ?o)"),
    "sliceobject": (
        "(sliceable ?co) (or (objecttype ?ko knifetype) (objecttype ?ko butterknifetype))"
        " (atlocation ?a ?l) (objectatlocation ?co ?l) (holds ?a ?ko)",
        "(issliced ?co)",
    ),
}
CHANGES: Mapping[str, frozenset[str]] = {
    name: frozenset(re.findall(r"\((\w+) \?", effect)) for name, (_, effect) in _RULES.items()
}
"""The predicates that each action changes."""

_IMPOSSIBLE = "impossible"
_WAY_OUT = "play it with engine=textworld"


@lru_cache(maxsize=16)
def require_known_domain(text: str) -> None:
    """Check that a PDDL domain has the actions that the fast engine implements.

    Order, comments, costs and predicates that no rule reads do not matter.

    Raises:
        DataError: An action is missing, unknown or has other rules.
    """
    domain = parse_expression(text)
    types = {"object"} | set(typed_names(_section(domain, ":types")))
    actions = {str(part[1]): part for part in domain if isinstance(part, list) and part[0] == ":action"}
    if unshared := sorted(actions.keys() ^ PARAMETERS.keys()):
        raise DataError(f"only one of its domain and ALFWorld's has the action {unshared[0]!r}; {_WAY_OUT}.")
    for name, action in actions.items():
        fields = {str(key): value for key, value in zip(action[2::2], action[3::2], strict=True)}
        needs, changes = (parse_expression(f"(and {rule})") for rule in _RULES[name])
        parameters = {f"?{parameter}": kind for parameter, kind in PARAMETERS[name].items()}
        if (
            typed_names(flat_list(fields[":parameters"])) != parameters
            or _condition(fields[":precondition"], types) != _condition(needs, types)
            or _effects(fields[":effect"]) != _effects(changes)
        ):
            raise DataError(f"its domain has other rules for the action {name!r} than ALFWorld's; {_WAY_OUT}.")


def _section(domain: Expression, key: str) -> list[str]:
    for part in domain:
        if isinstance(part, list) and part[0] == key:
            return flat_list(part[1:])
    raise DataError(f"its domain has no {key} section.")


def _condition(expression: Expression, types: set[str]) -> frozenset[object]:
    """Return the parts of a conjunction in a form that does not depend on their order."""
    return frozenset(_conjuncts(expression, types))


def _conjuncts(expression: Expression, types: set[str]) -> Iterator[object]:
    match expression:
        case []:
            return
        case ["and", *parts]:
            for part in parts:
                yield from _conjuncts(part, types)
        case ["or", *parts]:
            branches = {_condition(part, types) for part in parts} - {frozenset({_IMPOSSIBLE})}
            # The official domain also allows "sinktype", which no receptacle has.
            branches -= {frozenset({("receptacletype", "?r", "sinktype")})}
            if len(branches) == 1:
                yield from branches.pop()
            else:
                yield frozenset(branches)
        case ["exists", variables, body]:
            named = typed_names(flat_list(variables))
            if set(named.values()) <= types:
                yield (frozenset(named.items()), _condition(body, types))
            else:
                yield _IMPOSSIBLE
        case ["not", part]:
            yield ("not", _condition(part, types))
        case _:
            yield tuple(expression)


def _effects(expression: Expression) -> frozenset[str]:
    """Return the effects of an action without costs and without predicates that no rule reads."""
    parts = [str(part) for part in expression[1:]]
    return frozenset(part for part in parts if not any(unread in part for unread in ("increase", "checked", "ison")))
