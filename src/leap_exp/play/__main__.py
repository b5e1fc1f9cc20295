"""``python -m leap_exp.play NAME``: try a task yourself, on the engine that students meet."""

import argparse
import sys
from collections.abc import Sequence

from leap_exp.core.errors import LeapError
from leap_exp.envs.alfworld import AlfworldEnvironment
from leap_exp.envs.webshop.goals import GoalKind, GoalList
from leap_exp.envs.webshop.library import open_catalogue
from leap_exp.envs.webshop.shop import Shop
from leap_exp.play.server import ShopServer
from leap_exp.play.terminal import choose_task, play_task
from leap_exp.play.visits import goal_number

_PORT = 8765


def main(arguments: Sequence[str] | None = None) -> int:
    """Let somebody play; 0 once they have had enough, 1 if it cannot be played."""
    parser = argparse.ArgumentParser(prog="python -m leap_exp.play", description=__doc__)
    names = parser.add_subparsers(required=True, metavar="NAME")
    _add_webshop(names.add_parser("webshop", help="buy what an instruction asks for, in the browser"))
    _add_alfworld(names.add_parser("alfworld", help="do a household task, in the terminal"))
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except LeapError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print()
    return 0


def _add_webshop(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--catalogue", default="builtin", help="builtin (the default), 1000, all or a folder")
    parser.add_argument("--goals", choices=[*GoalKind], default=GoalKind.HUMAN, help="whose instructions")
    parser.add_argument("--goal", default="0", metavar="N", help="the goal to begin with, counted from 0")
    parser.add_argument("--port", type=int, default=_PORT, help=f"default {_PORT}; 0 for any that is free")
    parser.set_defaults(run=_play_webshop)


def _play_webshop(options: argparse.Namespace) -> None:
    catalogue = open_catalogue(options.catalogue, builtin_seed=0)
    shop = Shop(catalogue, GoalList(catalogue, kind=GoalKind(options.goals)))
    first = goal_number(options.goal, len(shop.goals))
    with ShopServer(shop, name=options.catalogue, port=options.port, first_goal=first) as server:
        print(f"Shop at {server.address} (Ctrl-C ends it).", flush=True)
        server.serve_forever()


def _add_alfworld(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--games", default="builtin", help="builtin (the default), official or a folder")
    parser.add_argument("--split", default="valid_unseen", help="default valid_unseen")
    parser.add_argument("--game", type=int, default=0, metavar="N", help="which of the split, counted from 0")
    parser.set_defaults(run=_play_alfworld)


def _play_alfworld(options: argparse.Namespace) -> None:
    environment = AlfworldEnvironment(games=options.games)
    play_task(environment, choose_task(environment, options.split, options.game))


if __name__ == "__main__":
    sys.exit(main())
