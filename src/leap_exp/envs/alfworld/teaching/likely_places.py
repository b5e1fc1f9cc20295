"""Where objects of each kind are usually found, in the order in which to search."""

from collections.abc import Iterable

from leap_exp.envs.alfworld.teaching.memory import kind_of

_SURFACES = "countertop diningtable desk sidetable coffeetable dresser bed sofa shelf tvstand armchair ottoman cart"
_CONTAINERS = "toilet stoveburner coffeemachine sinkbasin bathtubbasin garbagecan fridge microwave safe drawer cabinet"
_ANYWHERE = (*_SURFACES.split(), *_CONTAINERS.split())

# Orders are given for groups of kinds: a few orders are easier to learn from examples than one for every kind.
# Within an order, places that are likely and quick to check come first.
_GROUPS = (
    ("apple egg potato tomato", "diningtable countertop fridge sinkbasin garbagecan sidetable microwave"),
    ("bread lettuce", "diningtable countertop fridge sidetable sinkbasin"),
    ("mug", "coffeemachine desk diningtable countertop dresser sidetable sinkbasin shelf microwave fridge cabinet"),
    ("bowl", "desk coffeetable diningtable countertop fridge dresser shelf sinkbasin sidetable cabinet"),
    ("cup plate", "diningtable countertop coffeetable sinkbasin fridge sidetable shelf microwave cabinet"),
    ("butterknife fork knife ladle spatula spoon", "diningtable countertop sinkbasin sidetable drawer cabinet"),
    ("kettle pan pot", "stoveburner countertop diningtable fridge sinkbasin shelf cabinet"),
    ("peppershaker saltshaker", "diningtable countertop sidetable shelf cabinet drawer"),
    ("glassbottle winebottle", "diningtable countertop garbagecan sinkbasin shelf fridge cabinet"),
    ("dishsponge", "sinkbasin bathtubbasin countertop diningtable toilet cart shelf garbagecan drawer cabinet"),
    ("cloth", "bathtubbasin countertop dresser shelf cart sinkbasin cabinet drawer toilet"),
    ("soapbar", "bathtubbasin countertop toilet sinkbasin cart sidetable shelf garbagecan cabinet drawer"),
    ("soapbottle spraybottle", "toilet countertop cart diningtable sidetable dresser shelf garbagecan cabinet drawer"),
    ("toiletpaper", "toilet countertop toiletpaperhanger cart sidetable dresser shelf garbagecan cabinet drawer"),
    ("papertowelroll", "countertop toilet diningtable garbagecan shelf"),
    ("handtowel", "handtowelholder countertop"),
    ("towel", "towelholder countertop"),
    ("candle", "countertop toilet sidetable coffeetable cart diningtable shelf dresser cabinet drawer"),
    ("book laptop", "bed desk coffeetable sofa diningtable dresser countertop sidetable armchair drawer shelf cabinet"),
    ("pillow teddybear", "bed sofa armchair"),
    ("pen pencil", "desk coffeetable diningtable dresser sidetable countertop tvstand shelf garbagecan drawer"),
    ("cd", "desk dresser diningtable sidetable garbagecan shelf armchair drawer safe cabinet"),
    ("cellphone", "bed desk coffeetable diningtable dresser sofa sidetable countertop armchair shelf drawer safe"),
    (
        "creditcard keychain watch",
        "desk dresser coffeetable sidetable diningtable tvstand sofa armchair shelf drawer safe",
    ),
    ("remotecontrol", "coffeetable sofa desk tvstand dresser diningtable sidetable armchair drawer shelf"),
    ("alarmclock", "desk dresser sidetable diningtable shelf"),
    ("box newspaper", "coffeetable sofa diningtable desk dresser tvstand sidetable shelf armchair cabinet"),
    (
        "statue tissuebox vase wateringcan",
        "coffeetable desk dresser diningtable tvstand countertop sidetable shelf cart cabinet drawer",
    ),
    ("desklamp floorlamp", "desk sidetable dresser shelf coffeetable"),
)
_USUAL = {kind: tuple(places.split()) for kinds, places in _GROUPS for kind in kinds.split()}


def search_order(kind: str, places: Iterable[str], *, first: str | None = None) -> list[str]:
    """Sort ``places`` in the order in which to search them for ``kind``.

    They are sorted by kind, likely kinds first, and then by number. Places of the kind ``first``, if given, come before
    all others.
    """
    kinds = [*([first] if first else []), *_USUAL.get(kind, ()), *_ANYWHERE]

    def rank(place: str) -> tuple[int, str, int]:
        what, _, number = place.rpartition(" ")
        return (kinds.index(what) if what in kinds else len(kinds), what, int(number))

    return sorted(places, key=rank)


def is_likely(kind: str, place: str) -> bool:
    """Return whether objects of ``kind`` are usually found in places like ``place``."""
    return kind_of(place) in _USUAL.get(kind, ())
