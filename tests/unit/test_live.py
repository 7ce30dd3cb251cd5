"""A run while it goes on: its progress, and the server that shows it to one person."""

import http.client
import json
import logging
import math
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from flsim.cli import cli
from flsim.errors import RunError
from flsim.observe.edge_journal import HierarchyParquetJournal
from flsim.observe.ending import write_ending
from flsim.observe.heard import heard
from flsim.observe.journal import ParquetJournal
from flsim.observe.live import progress_file
from flsim.observe.live.progress_file import ProgressFile
from flsim.observe.live.reading import ProgressReader
from flsim.observe.live.server import LiveServer
from flsim.protocols import HierarchyJournal, PresenceJournal, SecureJournal
from flsim.records import EndingRecord, Outcome, TaskRecord, VersionRecord
from flsim.running import run
from flsim.scenario import read_scenario
from flsim.sim.surroundings import Moment
from tests.integration.command import SMALL
from tests.unit.recorded import synchronous_run, write

NAME = "<img src=x onerror=alert(1)>"


def version(number: int, accuracy: float | None = 0.5, loss: float | None = 1.0) -> VersionRecord:
    return VersionRecord(number, 2.5 * number, 3, 0.5, accuracy, loss, "ab")


def task(outcome: Outcome) -> TaskRecord:
    return TaskRecord(0, 0, 0, 0.0, None, None, 1.0, outcome, None, None, None, 1, 100, 10, None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a run that has just begun."""
    (tmp_path / "scenario.yaml").write_text(f"name: {json.dumps(NAME)}\nstrategy: {{kind: sync}}\n")
    (tmp_path / "secret.txt").write_text("a secret")
    return tmp_path


@pytest.fixture
def ended(folder: Path) -> Path:
    """The folder of a run that has ended."""
    write(folder, synchronous_run())
    write_ending(folder, EndingRecord("updates", "12 updates were made", 500.0))
    return folder


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every version have a line of its own, however fast they come."""
    monkeypatch.setattr(progress_file, "_REST", 0)


@pytest.fixture
def reader(folder: Path) -> Iterator[ProgressReader]:
    """A reader of that run."""
    with closing(ProgressReader(folder)) as reader:
        yield reader


# The file and its reader


@pytest.mark.usefixtures("always")
def test_a_run_is_followed_line_by_line(folder: Path, reader: ProgressReader) -> None:
    assert reader.read().state == "starting"
    with ProgressFile(folder) as progress:
        first = reader.read()
        assert (first.state, first.versions) == ("running", [])
        progress.moment(1.5, 7)
        for outcome in (Outcome.AGGREGATED, Outcome.AGGREGATED, Outcome.LOST):
            progress.task(task(outcome))
        progress.version(version(0))
        now = reader.read()
        assert now.versions == [[0, 0.0, 3, 0.5, 0.5, 1.0]]
        assert now.standing == {
            "now_s": 1.5,
            "in_flight": 7,
            "ended": dict.fromkeys(Outcome, 0) | {"aggregated": 2, "lost": 1},
            "bytes_down": 300,
            "bytes_up": 30,
        }
        progress.version(version(1, None, math.nan))  # what JSON cannot say
        assert reader.read().versions[1] == [1, 2.5, 3, 0.5, None, None]
        assert len((folder / "progress.jsonl").read_text().splitlines()) == 3
    assert reader.read().run == first.run
    progress.remove()
    assert reader.read().state == "starting"


def test_updates_that_come_fast_share_a_line_and_none_is_lost(
    folder: Path, reader: ProgressReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = count(step=0.01)  # time passes whenever somebody asks for it
    monkeypatch.setattr(progress_file.time, "monotonic", lambda: next(ticks))
    with ProgressFile(folder) as progress:
        for number in range(120):
            progress.version(version(number))
        # Writing takes one tick of each 50, after the empty line at the start.
        assert len((folder / "progress.jsonl").read_text().splitlines()) == 3
    shown = reader.read().versions
    assert [row[0] for row in shown] == list(range(120))


def test_a_line_that_is_not_complete_waits(folder: Path, reader: ProgressReader) -> None:
    with ProgressFile(folder) as progress:
        progress.version(version(0))
    path = folder / "progress.jsonl"
    whole = path.read_text()
    cut = whole.rindex("\n", 0, -1) + 40
    path.write_text(whole[:cut])
    assert reader.read().versions == []
    with path.open("a") as file:
        file.write(whole[cut:])
    assert [row[0] for row in reader.read().versions] == [0]


def test_another_run_in_the_folder_begins_anew(folder: Path, reader: ProgressReader) -> None:
    with ProgressFile(folder) as progress:
        for number in range(3):
            progress.version(version(number))
    before = reader.read()
    progress.remove()
    with ProgressFile(folder) as progress:
        progress.version(version(0, 0.9))
    after = reader.read()
    assert after.run != before.run
    assert [row[4] for row in after.versions] == [0.9]


def test_a_run_that_has_ended_is_read_from_its_tables(ended: Path) -> None:
    recorded = synchronous_run()
    now = ProgressReader(ended).read()
    assert now.state == "finished"
    assert now.ended == "12 updates were made"
    assert [row[:2] for row in now.versions] == [[row.version, row.time_s] for row in recorded.versions]
    assert [row[4:] for row in now.versions] == [[row.accuracy, row.loss] for row in recorded.versions]
    counts = {each.value: sum(row.outcome is each for row in recorded.tasks) for each in Outcome}
    assert now.standing["ended"] == counts
    assert now.standing["now_s"] == 500.0


def test_a_file_that_cannot_be_written_costs_a_warning(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "progress.jsonl").mkdir()
    with ProgressFile(folder) as progress:
        for number in range(3):
            progress.version(version(number))
    [said] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "The run goes on without it" in said.getMessage()


@pytest.mark.usefixtures("always")
def test_a_run_says_how_far_it_is_and_then_leaves_its_records_alone(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SMALL)
    seen: list[tuple[int, int, int]] = []

    def look(moment: Moment) -> bool:
        with closing(ProgressReader(tmp_path / "small")) as reader:
            now = reader.read()
        seen.append((moment.version, len(now.versions), sum(now.standing["ended"].values())))
        return True

    done = run(read_scenario(tmp_path / "small.yaml", [f"output.dir={tmp_path}"]), watch=look)
    assert {version - known for version, known, _ in seen} == {0}  # all but the current one
    assert seen[-1][2] >= 90
    assert not (done.folder / "progress.jsonl").exists()
    now = ProgressReader(done.folder).read()
    assert (now.state, len(now.versions)) == ("finished", 11)


# The server


@pytest.fixture
def server(folder: Path) -> Iterator[LiveServer]:
    yield from serving(folder)


def serving(folder: Path) -> Iterator[LiveServer]:
    with LiveServer(folder) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Answer:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.text = response.read().decode()

    @property
    def data(self) -> Any:
        return json.loads(self.text)


def ask(server: LiveServer, path: str, method: str = "GET", **headers: str) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    try:
        connection.putrequest(method, path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        return Answer(connection.getresponse())
    finally:
        connection.close()


def test_it_listens_on_this_machine_only(server: LiveServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    assert server.url == f"http://127.0.0.1:{server.server_port}/"


def test_a_port_that_is_taken(server: LiveServer, folder: Path) -> None:
    with pytest.raises(RunError, match=f"port {server.server_port} cannot be had: Address already in use"):
        LiveServer(folder, server.server_port)


@pytest.mark.parametrize("path", ["/", "/live.js", "/page.css", "/plotly.js", "/progress.json"])
def test_every_answer_is_guarded(server: LiveServer, path: str) -> None:
    answer = ask(server, path)
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert "Python" not in str(answer.headers)


@pytest.mark.parametrize(
    "path",
    [
        "/secret.txt",
        "/scenario.yaml",
        "/tasks.parquet",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/./secret.txt",
        "/live.js/../secret.txt",
        "//secret.txt",
        "/etc/passwd",
        "//etc/passwd",
        "/live.js/",
        "/page.js",
        "/progress.jsonl",
        "*",
        "//127.0.0.1/live.js",
        "/<script>alert(1)</script>",
    ],
)
def test_there_is_nothing_else_to_be_had(server: LiveServer, path: str) -> None:
    answer = ask(server, path)
    assert answer.status == 404
    assert answer.text == "Not Found"
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1",
        "127.0.0.1:1",
        "localhost.evil.example:{port}",
        "",
    ],
)
@pytest.mark.parametrize("path", ["/", "/progress.json", "/secret.txt"])
def test_a_request_for_another_host_is_refused(server: LiveServer, host: str, path: str) -> None:
    answer = ask(server, path, Host=host.format(port=server.server_port))
    assert answer.status == 403
    assert answer.text == "Forbidden"


def test_a_request_with_two_hosts_or_none_is_refused(server: LiveServer) -> None:
    good = f"Host: 127.0.0.1:{server.server_port}\r\n".encode()
    for hosts in (b"", good + b"Host: evil.example\r\n"):
        with socket.create_connection(("127.0.0.1", server.server_port), timeout=30) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\n" + hosts + b"\r\n")
            assert connection.recv(65_536).startswith(b"HTTP/1.1 403 ")


def test_localhost_is_this_machine(server: LiveServer) -> None:
    assert ask(server, "/", Host=f"localhost:{server.server_port}").status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"])
def test_nothing_but_get(server: LiveServer, method: str) -> None:
    assert ask(server, "/progress.json", method).status == 405


def test_what_is_no_http_gets_one_answer(server: LiveServer) -> None:
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=30) as connection:
        connection.sendall(b"<script> " + b"x" * 20 + b" y z w\r\n\r\n")
        answer = connection.recv(65_536)
    assert answer == b"Bad Request"


def test_names_are_text(server: LiveServer) -> None:
    page = ask(server, "/")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert NAME not in page.text
    assert "&lt;img src=x onerror=alert(1)&gt;" in page.text


@pytest.mark.usefixtures("always")
def test_only_what_is_new_is_sent(server: LiveServer, folder: Path) -> None:
    assert ask(server, "/progress.json").data["state"] == "starting"
    with ProgressFile(folder) as progress:
        for number in range(4):
            progress.version(version(number))
        said = ask(server, "/progress.json?of=&after=-1").data
        assert said["columns"] == ["version", "time_s", "tasks", "mean_staleness", "accuracy", "loss"]
        assert [row[0] for row in said["versions"]] == [0, 1, 2, 3]
        again = f"/progress.json?of={said['run']}&after="
        assert [row[0] for row in ask(server, f"{again}1").data["versions"]] == [2, 3]
        assert ask(server, f"{again}3").data["versions"] == []
        # Of another run, or with a number that is none, everything.
        for query in (
            "?of=another&after=3",
            f"?of={said['run']}&after=x",
            f"?of={said['run']}&after={'9' * 40}",
        ):
            assert len(ask(server, f"/progress.json{query}").data["versions"]) == 4


def test_of_many_versions_some_are_sent_and_the_last_is_among_them(
    server: LiveServer, folder: Path
) -> None:
    with ProgressFile(folder) as progress:
        for number in range(20_001):
            progress.version(version(number))
    sent = [row[0] for row in ask(server, "/progress.json").data["versions"]]
    assert len(sent) == 5_000
    assert (sent[0], sent[-1]) == (0, 20_000)
    assert max(b - a for a, b in pairwise(sent)) <= 5


def test_the_report_is_there_when_the_run_has_ended(folder: Path) -> None:
    for server in serving(folder):
        assert ask(server, "/report.html").status == 404
        write(folder, synchronous_run())
        write_ending(folder, EndingRecord("updates", "12 updates were made", 500.0))
        (folder / "report.html").write_text("<script>alert('not of flsim')</script>")
        answer = ask(server, "/report.html")
        assert answer.status == 200
        assert "not of flsim" not in answer.text
        assert 'id="panel-overview"' in answer.text
        assert "connect-src" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none';")
        assert ask(server, "/report.html").text == answer.text
        assert ask(server, "/progress.json").data["state"] == "finished"
    assert {path.name for path in folder.iterdir()} >= {"report.html", "secret.txt"}


def test_a_folder_that_is_no_run_s(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"scenario\.yaml is missing; is .* the folder of a run\?"):
        LiveServer(tmp_path)


def test_the_command_says_where_the_page_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def end(server: LiveServer) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(LiveServer, "serve_forever", end)
    done = CliRunner().invoke(cli, ["ui", os.fspath(folder), "--no-browser"])
    assert done.exit_code == 0
    assert f"{folder} is shown at http://127.0.0.1:" in done.output


@pytest.mark.parametrize("journal", [ParquetJournal, HierarchyParquetJournal])
def test_a_journal_that_is_listened_to_takes_all_that_it_takes_alone(
    journal: type[ParquetJournal], tmp_path: Path
) -> None:
    """What a journal is asked for is found by its methods: one that is missing would not be noticed."""
    with journal(tmp_path) as alone:
        listened = heard(alone, lambda record: None)
        protocols = (HierarchyJournal, PresenceJournal, SecureJournal)
        assert [isinstance(listened, each) for each in protocols] == [
            isinstance(alone, each) for each in protocols
        ]
        assert isinstance(alone, PresenceJournal)
