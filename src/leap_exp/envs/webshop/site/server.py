"""The shop as a web site on this machine only: links and forms without scripts; only POST changes anything."""

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
from leap_exp.envs.webshop.engine.shop import Shop
from leap_exp.envs.webshop.site import page
from leap_exp.envs.webshop.site.visits import Visit, Visits, goal_number

HOST = "127.0.0.1"

_MAX_FORM_BYTES = 1 << 14
_LENGTH = re.compile("[0-9]{1,6}")
_MAX_FIELDS = 8
_TIMEOUT_SECONDS = 30
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
    """The shop's web site, on 127.0.0.1 only.

    Args:
        shop: The shop; any number of visitors can share it.
        name: The name of its catalogue.
        port: The port; 0 for any free one.
        first_goal: The goal proposed to a new visitor.

    Raises:
        ConfigError: The port is in use or out of range.
    """

    daemon_threads = True

    def __init__(self, shop: Shop, *, name: str, port: int, first_goal: int = 0) -> None:
        self.shop, self.shop_name, self.first_goal = shop, name, first_goal
        self.visits = Visits(shop)
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            raise ConfigError(
                f"Port {port} cannot be used ({error}): choose another with --port, or 0 for any free one."
            ) from error

    @property
    def address(self) -> str:
        """The address to open in a browser."""
        return f"http://{HOST}:{self.server_port}/"

    def handle_error(self, request: socket | tuple[bytes, socket], client_address: object) -> None:
        """Show the error, unless a browser only closed the connection."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: ShopServer
    timeout = _TIMEOUT_SECONDS

    def do_GET(self) -> None:
        """Send a page."""
        path = urlsplit(self.path).path
        if path == "/":
            self._send(page.start_page(self.server.shop, name=self.server.shop_name, goal=self.server.first_goal))
        elif visit := self._visit(path):
            self._send(page.visit_page(self.server.shop, visit))
        else:
            self._send_missing()

    def do_POST(self) -> None:
        """Start a visit or act in one, then redirect to its page, so that reloading the page repeats nothing."""
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

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
        """Log requests instead of printing them."""
        logger.debug(format, *args)

    def _visit(self, path: str) -> Visit | None:
        prefix, _, visit_id = path.rpartition("/")
        return self.server.visits.find(visit_id) if prefix == "/visit" else None

    def _read_form(self) -> Mapping[str, str]:
        length = self.headers.get("Content-Length", "")
        if not _LENGTH.fullmatch(length) or int(length) > _MAX_FORM_BYTES:
            raise ConfigError(f"A form must have at most {_MAX_FORM_BYTES} bytes, but its length is {length[:8]!r}.")
        text = self.rfile.read(int(length)).decode("utf-8", "replace")
        try:
            return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=_MAX_FIELDS))
        except ValueError as error:
            raise ConfigError(f"The form cannot be read: {error}.") from error

    def _redirect(self, visit: Visit) -> None:
        self.send_response(HTTPStatus.SEE_OTHER)
        self.send_header("Location", f"/visit/{visit.id}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send_missing(self) -> None:
        message = "This page does not exist, or the visit was idle for too long and was deleted: start again."
        self._send(page.problem_page(message), HTTPStatus.NOT_FOUND)

    def _send(self, text: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        # Names in a catalogue can contain lone surrogates, which UTF-8 cannot encode.
        content = text.encode("utf-8", "replace")
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _action(form: Mapping[str, str]) -> str:
    """Return the action of a form: a search for its query, or the action of its button."""
    if "query" in form:
        # An argument must not contain a bracket, and search ignores brackets anyway.
        return f"search[{form['query'].replace('[', ' ')}]"
    return form.get("action", "")
