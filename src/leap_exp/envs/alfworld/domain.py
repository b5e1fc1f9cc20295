"""ALFWorld's domain as the fast engine plays it: the actions and their parameters."""

from collections.abc import Mapping

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
"""The actions, with the type of each parameter."""
