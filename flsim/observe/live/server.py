"""A web server for one person on this machine: the page of one run, its progress, and its report.

It listens on 127.0.0.1 alone, and answers only requests whose Host says so: a page of somebody else, whose
name was made to lead here, is refused. It knows six addresses and no files, so nothing else can be had.
Every answer forbids its reader to run or fetch anything but these. All of it is read-only.
"""

import json
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, cast
from urllib.parse import parse_qs

from flsim.errors import RunError
from flsim.observe.live.page import live_page, script, style
from flsim.observe.live.progress_file import COLUMNS
from flsim.observe.live.reading import Progress, ProgressReader
from flsim.observe.report.page import plotly
from flsim.observe.report.run_facts import read_recorded
from flsim.observe.report.write import report
from flsim.observe.trackers.writer import told_of

ADDRESS = "127.0.0.1"
_NAMES = (ADDRESS, "localhost")
_MOST_ROWS = 5_000  # of an answer: of more versions, evenly spaced ones
_TIMEOUT_S = 10

_NOTHING_ELSE = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self' 'unsafe-inline'; "
    f"img-src data: blob:; {_NOTHING_ELSE}"
)
# The report has its own policy in it, with the hashes of its two scripts; both hold.
_REPORT_POLICY = (
    f"default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    f"{_NOTHING_ELSE}"
)


class LiveServer(ThreadingHTTPServer):
    """Serves the run in a folder until it is shut down."""

    daemon_threads = True

    def __init__(self, folder: Path, port: int = 0) -> None:
        """`port`: 0 for one that is free. Raises RunError if it cannot be had, or if there is no run."""
        self.progress = ProgressReader(folder)
        self.lock = threading.Lock()  # of the reader and the report
        self.folder, self.name = folder, told_of(folder).name
        self._report: tuple[str, bytes] = ("", b"")
        try:
            super().__init__((ADDRESS, port), _Request)
        except OSError as error:
            raise RunError(f"port {port} cannot be had: {error.strerror or error}") from error

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader that goes away is no error; anything else is a defect, and is shown."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    def server_close(self) -> None:
        """Let go of the port and of the run's file."""
        super().server_close()
        self.progress.close()

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{ADDRESS}:{self.server_port}/"

    def hosts(self) -> set[str]:
        """Return what the Host of a request may be."""
        return {f"{name}:{self.server_port}" for name in _NAMES}

    def standing(self) -> Progress:
        """Return how the run stands."""
        with self.lock:
            return self.progress.read()

    def report(self) -> bytes:
        """Return the report of the run, drawn up once. Raises RunError as long as it has not ended."""
        with self.lock:
            now = self.progress.read()
            if now.state != "finished":
                raise RunError("the run has not ended")
            if self._report[0] != now.run:
                self._report = (now.run, report(read_recorded(self.folder)).encode())
            return self._report[1]


class _Request(BaseHTTPRequestHandler):
    """One request."""

    timeout = _TIMEOUT_S
    server_version = "flsim"
    sys_version = ""
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer one of the addresses."""
        if self.headers.get_all("Host") not in [[host] for host in self._run.hosts()]:
            self.send_error(HTTPStatus.FORBIDDEN)
            return
        path, _, query = self.path.partition("?")
        answer = self._addresses.get(path)
        if answer is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        answer(self, query)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Say what is wrong in a word, and nothing that the request said."""
        if code == HTTPStatus.NOT_IMPLEMENTED:
            code = HTTPStatus.METHOD_NOT_ALLOWED
        self.close_connection = True
        self._answer("text/plain", HTTPStatus(code).phrase.encode(), code)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the terminal shows where the page is."""

    def _page(self, query: str) -> None:
        self._answer("text/html", live_page(self._run.name).encode())

    def _progress(self, query: str) -> None:
        """Say how the run stands; of its versions those after the number `after`, if it is the run `of`."""
        asked = parse_qs(query)
        now = self._run.standing()
        known = asked.get("of", [""])[0] == now.run
        after = asked.get("after", ["-1"])[0]
        last = int(after) if known and after.isdecimal() and len(after) < 16 else -1
        rows = [row for row in now.versions if row[0] > last]
        said = {
            "run": now.run,
            "state": now.state,
            "silent_s": now.silent_s,
            "ended": now.ended,
            "standing": now.standing,
            "columns": COLUMNS,
            "versions": _thinned(rows),
        }
        self._answer("application/json", json.dumps(said, allow_nan=False).encode())

    def _report(self, query: str) -> None:
        try:
            page = self._run.report()
        except RunError:
            self.send_error(HTTPStatus.NOT_FOUND)
        else:
            self._answer("text/html", page, policy=_REPORT_POLICY)

    def _plotly(self, query: str) -> None:
        self._answer("text/javascript", plotly().encode())

    def _script(self, query: str) -> None:
        self._answer("text/javascript", script().encode())

    def _style(self, query: str) -> None:
        self._answer("text/css", style().encode())

    _addresses: ClassVar[dict[str, Callable[["_Request", str], None]]] = {
        "/": _page,
        "/live.js": _script,
        "/page.css": _style,
        "/plotly.js": _plotly,
        "/progress.json": _progress,
        "/report.html": _report,
    }

    @property
    def _run(self) -> LiveServer:
        return cast(LiveServer, self.server)

    def _answer(
        self, kind: str, body: bytes, code: int = HTTPStatus.OK, policy: str = _PAGE_POLICY
    ) -> None:
        self.send_response(code)
        for name, value in (
            ("Content-Type", f"{kind}; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("Content-Security-Policy", policy),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
        ):
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)


def _thinned(rows: list[list[Any]]) -> list[list[Any]]:
    """Return the rows, or so many evenly spaced ones, the last among them."""
    if len(rows) <= _MOST_ROWS:
        return rows
    last = len(rows) - 1
    return [rows[place * last // (_MOST_ROWS - 1)] for place in range(_MOST_ROWS)]
