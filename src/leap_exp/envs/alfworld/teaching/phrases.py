"""The phrases and words that reasons are made of.

Slots of the phrases:

    {kind} {a_kind} {kinds}     the kind of thing needed now, an object or a lamp
    {place} {a_place} {places}  the receptacle in the action, and its kind
    {prep}                      "in" or "on" for that receptacle
    {here}                      a receptacle within reach
    {item} {lamp}               an object, a lamp
    {done} {state}              what must be done to the item ("heated"), and its state then ("hot")

In disclosures, {place} is where the hidden item is, {target} the receptacle in the action and {held} the held object.
"""

from collections.abc import Mapping

STATUS: Mapping[str, tuple[str, ...]] = {
    "missing": (
        "I still need {a_kind}",
        "I have not seen {a_kind} yet",
        "{a_kind} has not turned up so far",
        "the task calls for {a_kind}",
        "I am looking for {a_kind}",
        "first I have to find {a_kind}",
    ),
    "not_here": (
        "there is no {kind} at {here}",
        "{here} does not have what I need",
        "I see no {kind} at {here}",
        "{here} has been no help",
    ),
    "one_delivered": (
        "the second {kind} is still missing",
        "one {kind} is done and one is to go",
        "I still have to bring a second {kind}",
    ),
    "holding": (
        "I hold {item} and need {a_kind}",
        "{item} needs the light of {a_kind}",
        "{a_kind} for {item} is still missing",
    ),
}
"""How the search has gone so far."""

GROUNDS: Mapping[str, tuple[str, ...]] = {
    "usual": (
        "people often keep {kinds} {prep} {places}",
        "{places} are a likely place for {kinds}",
        "I would expect {a_kind} {prep} {a_place}",
        "{kinds} can usually be found {prep} {places}",
        "{a_kind} could well be {prep} {a_place}",
        "{places} are where {kinds} are often left",
    ),
    "unusual": (
        "{a_kind} might be left {prep} {a_place}",
        "things sometimes end up {prep} {places}",
        "a thorough search does not leave out {places}",
        "{a_kind} may be somewhere less obvious",
    ),
    "seen": (
        "I have seen {item} {prep} {place}",
        "I remember {item} {prep} {place}",
        "{item} was {prep} {place} when I last looked",
        "I know from before that {item} is {prep} {place}",
    ),
    "take": (
        "{item} is here {prep} {place} and the task asks for {a_kind}",
        "here is {item}, and {a_kind} is what I need",
        "I can reach {item} {prep} {place}, and that is what I was after",
        "{item} will serve for this task and lies within reach",
    ),
    "treat": (
        "{item} has to be {done} before anything else",
        "the task wants {a_kind} that is {state}, and {item} is not yet",
        "{item} must be {state} in the end",
        "before I deliver {item} it needs to be {done}",
    ),
    "deliver": (
        "{item} belongs {prep} {a_place} according to the task",
        "the task wants {item} {prep} {a_place}",
        "{item} is ready and {a_place} is where it has to go",
        "all that {item} still needs is a spot {prep} {a_place}",
    ),
    "put_down": (
        "{item} is not what the task asks for at this point",
        "I need empty hands before I go on",
        "carrying {item} does not help, as I need {a_kind}",
        "I hold {item}, which is of no use now",
    ),
    "lamp": (
        "{lamp} is at {place} and I already hold {item}",
        "I want to look at {item} in the light of {lamp}",
        "I have {item} in hand and know that {lamp} is at {place}",
    ),
    "use": (
        "{lamp} is within reach and I hold {item}",
        "I have {item} with me and stand next to {lamp}",
        "all that is missing is light on {item}",
    ),
    "other": (
        "this brings me closer to what the task asks for",
        "the way to finish the task leads past here",
        "there is a quicker way to get this done",
    ),
}
"""Why the action is good; "unusual" is for places that are not tried first."""

MOVES: Mapping[str, tuple[str, ...]] = {
    "go_search": (
        "I will check {place}",
        "I look at {place} next",
        "{place} is worth a visit",
        "my next stop is {place}",
        "let me try {place}",
        "I turn to {place} now",
    ),
    "open_search": (
        "I open {place} to look inside",
        "I open {place} to see inside",
        "let me open {place} and look",
        "{place} is worth opening",
        "I try {place} by opening it",
    ),
    "go": (
        "I go to {place}",
        "I walk over to {place}",
        "I head for {place} now",
        "{place} is where I go next",
    ),
    "open": (
        "I open {place} first",
        "{place} has to be opened",
        "I need to open {place}",
    ),
    "take": ("I take it", "I pick up {item}", "I will take {item} with me", "I get hold of it now"),
    "put": ("I put it {prep} {place}", "I leave {item} {prep} {place}", "{item} goes {prep} {place} now"),
    "clean": ("I clean it with {place}", "I wash it in {place}", "I use {place} to clean it"),
    "heat": ("I heat it with {place}", "I warm it up in {place}", "I use {place} to heat it"),
    "cool": ("I cool it with {place}", "I chill it in {place}", "I use {place} to cool it"),
    "use": ("I switch {lamp} on", "I turn on {lamp}", "it is time to use {lamp}"),
    "other": ("I do this now", "this comes next", "I take this step"),
}
"""The action, by verb."""

DISCLOSURES = (
    "{item} is {prep} {place}",
    "I know that {item} is {prep} {place}",
    "the {kind} that I need is {item} {prep} {place}",
    "{place} holds {item}, which is what I need",
    "as it happens, {item} is {prep} {place}",
)
"""Where a hidden object is."""

DISCLOSED_MOVES: Mapping[str, tuple[str, ...]] = {
    "go": (
        "I go straight to {target}",
        "there is no need to search and I go to {target}",
        "I head directly for {target}",
    ),
    "open": ("I open {target} right away", "opening {target} is all it takes", "I open {target} to get at it"),
    "put": ("I first get rid of {held}", "I put {held} down before I fetch it", "I free my hands of {held} first"),
}
"""What follows from the disclosure, by verb."""

_UNCOUNTED = frozenset({"bread", "lettuce", "toiletpaper"})
_PLURALS = {"knife": "knives", "butterknife": "butterknives", "shelf": "shelves"}
_INSIDE = frozenset(
    {
        "bathtubbasin",
        "cabinet",
        "cart",
        "drawer",
        "fridge",
        "garbagecan",
        "laundryhamper",
        "microwave",
        "safe",
        "sinkbasin",
    }
)


def with_article(kind: str) -> str:
    """Return ``a mug``, ``an apple`` or ``some bread``."""
    if kind in _UNCOUNTED:
        return f"some {kind}"
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def plural(kind: str) -> str:
    """Return ``mugs``, ``shelves`` or ``bread``."""
    if kind in _UNCOUNTED:
        return kind
    if kind in _PLURALS:
        return _PLURALS[kind]
    return f"{kind}es" if kind.endswith(("ch", "sh", "x", "o", "s")) else f"{kind}s"


def preposition(place_kind: str) -> str:
    """Return ``in`` for receptacles that things are put into, ``on`` for those that they are put onto."""
    return "in" if place_kind in _INSIDE else "on"


def sentence(*clauses: str) -> str:
    """Join ``clauses`` to a sentence that starts with a capital letter and ends with a full stop."""
    text = "".join(clauses)
    return f"{text[0].upper()}{text[1:]}."
