"""The shop as a web site for this machine alone: links and forms, no script; only POST changes anything."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from urllib.parse import parse_qsl, urlsplit

from leap_exp.core.errors import ConfigError, LeapError
from leap_exp.envs.webshop.shop import Shop
from leap_exp.play import page
from leap_exp.play.visits import Visit, Visits, goal_number

HOST = "127.0.0.1"

_LONGEST_FORM = 1 << 14
_LENGTH = re.compile("[0-9]{1,6}")
_FIELDS = 8
_SILENCE_SECONDS = 30
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

logger = logging.getLogger(__name__)


class ShopServer(ThreadingHTTPServer):
    """The shop's web site, on 127.0.0.1 alone.

    Args:
        shop: What is offered, to any number of visitors.
        name: What its catalogue is called.
        port: Where to listen; 0 for any port that is free.
        first_goal: The goal proposed to a new visitor.

    Raises:
        ConfigError: The port cannot be had.
    """

    daemon_threads = True

    def __init__(self, shop: Shop, *, name: str, port: int, first_goal: int = 0) -> None:
        self.shop, self.shop_name, self.first_goal = shop, name, first_goal
        self.visits = Visits(shop)
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            raise ConfigError(
                f"Port {port} cannot be used ({error}): name another with --port, or 0 for any that is free."
            ) from error

    @property
    def address(self) -> str:
        """Where to point the browser."""
        return f"http://{HOST}:{self.server_port}/"

    def handle_error(self, request: socket | tuple[bytes, socket], client_address: object) -> None:
        """Say what went wrong, unless a browser merely hung up."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: ShopServer
    timeout = _SILENCE_SECONDS

    def do_GET(self) -> None:
        """Show a page."""
        path = urlsplit(self.path).path
        if path == "/":
            self._send(page.start_page(self.server.shop, name=self.server.shop_name, goal=self.server.first_goal))
        elif visit := self._visit(path):
            self._send(page.visit_page(self.server.shop, visit))
        else:
            self._send_missing()

    def do_POST(self) -> None:
        """Begin a visit, or act in one; then let the browser fetch the page, so that reloading it repeats nothing."""
        try:
            form = self._read_form()
            path = urlsplit(self.path).path
            if path == "/start":
                goal = goal_number(form.get("goal", ""), len(self.server.shop.goals))
                self._redirect(self.server.visits.open(goal))
            elif visit := self._visit(path):
                visit.act(_action(form), after=form.get("after", ""))
                self._redirect(visit)
            else:
                self._send_missing()
        except LeapError as error:
            self._send(page.problem_page(str(error)), HTTPStatus.BAD_REQUEST)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the library's
        """Leave the terminal alone."""
        logger.debug(format, *args)

    def _visit(self, path: str) -> Visit | None:
        prefix, _, visit_id = path.rpartition("/")
        return self.server.visits.find(visit_id) if prefix == "/visit" else None

    def _read_form(self) -> Mapping[str, str]:
        length = self.headers.get("Content-Length", "")
        if not _LENGTH.fullmatch(length) or int(length) > _LONGEST_FORM:
            raise ConfigError(f"A form of at most {_LONGEST_FORM} bytes was expected.")
        text = self.rfile.read(int(length)).decode("utf-8", "replace")
        try:
            return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=_FIELDS))
        except ValueError as error:
            raise ConfigError(f"The form cannot be read: {error}.") from error

    def _redirect(self, visit: Visit) -> None:
        self.send_response(HTTPStatus.SEE_OTHER)
        self.send_header("Location", f"/visit/{visit.id}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send_missing(self) -> None:
        message = "There is no such page, or the visit was left alone for so long that it was forgotten: begin anew."
        self._send(page.problem_page(message), HTTPStatus.NOT_FOUND)

    def _send(self, text: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        # Names in a catalogue may hold half of a character, which UTF-8 has no form for.
        content = text.encode("utf-8", "replace")
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _action(form: Mapping[str, str]) -> str:
    """The action of a form: a query, or a button's own."""
    if "query" in form:
        # An action with a bracket in its argument is none, and search looks at no bracket anyway.
        return f"search[{form['query'].replace('[', ' ')}]"
    return form.get("action", "")
