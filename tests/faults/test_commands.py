"""Faults as a user sees them: exit codes, one message on standard error, no traceback."""

import hashlib
import signal
from pathlib import Path

import pytest

from tests.integration.command import ENDLESS, SMALL, command_line, flsim, start, summary_of

PLUG_INS = '''
import sys
from flsim.policy import FedBuff
from flsim.policy.view import Wait

class Asleep(FedBuff):
    """Never asks anybody."""
    kind: str = "asleep"

    def decide(self, view):
        return Wait()


class Leaving(FedBuff):
    """Ends the program."""
    kind: str = "leaving"

    def decide(self, view):
        sys.exit(0)


class Pausing(FedBuff):
    """Says when it is under way."""
    kind: str = "pausing"

    def decide(self, view):
        if view.version == 5 and not view.inbox:
            print("under way", file=sys.stderr, flush=True)
        return super().decide(view)
'''


def in_folder(folder: Path) -> Path:
    (folder / "own.py").write_text(PLUG_INS)
    (folder / "small.yaml").write_text(SMALL)
    (folder / "endless.yaml").write_text(ENDLESS)
    return folder


def own(cls: str) -> str:
    return f"strategy={{kind: 'own:{cls}', concurrency: 5, buffer_size: 2}}"


def test_a_strategy_that_ends_the_program_has_failed(tmp_path: Path) -> None:
    done = flsim("run", "small.yaml", "--set", own("Leaving"), "--out", "out", cwd=in_folder(tmp_path))
    assert done.returncode == 1
    assert (
        done.stderr == "error: strategy (own:Leaving) raised SystemExit: 0\n-v shows where it happened.\n"
    )


def test_a_strategy_that_never_asks_anybody(tmp_path: Path) -> None:
    done = flsim("run", "small.yaml", "--set", own("Asleep"), "--out", "out", cwd=in_folder(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert "waits with 20 idle clients and nothing under way" in " ".join(done.stdout.split())
    assert summary_of(tmp_path / "out" / "small")["stop_reason"] == "stalled"


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    """The device that always is, in the place of the folder's file."""
    folder = in_folder(tmp_path)
    program = "import os, sys, flsim.observe.journal as journal\n"
    program += "made = journal.ParquetJournal.__init__\n"
    program += "def full(self, folder, *args, **options):\n"
    program += "    os.symlink('/dev/full', folder / 'versions.parquet')\n"
    program += "    made(self, folder, *args, **options)\n"
    program += "journal.ParquetJournal.__init__ = full\n"
    program += "from flsim.cli import main\nmain(sys.argv[1:])\n"
    (folder / "full.py").write_text(program)
    command = [*command_line()[:1], "full.py", "run", "small.yaml", "--out", "out", "-q"]
    code, _, err = start(command, folder).end()
    assert code == 1
    assert err.count("\n") == 1
    assert err.startswith("error: cannot write out/small/versions.parquet: ")
    assert "No space left on device" in err


@pytest.mark.slow
def test_a_run_that_is_stopped_and_goes_on_has_the_same_records(tmp_path: Path) -> None:
    folder, hashes = in_folder(tmp_path), []
    for name in ("stopped", "undisturbed"):
        changes = ["--set", own("Pausing"), "--set", "stop={updates: 300}", "--set", f"name={name}"]
        started = start(command_line("run", "endless.yaml", *changes, "--out", "out", "-q"), folder)
        started.wait_for_text("under way")
        if name == "stopped":
            for _ in range(3):
                started.process.send_signal(signal.SIGSTOP)
                state = Path(f"/proc/{started.process.pid}/stat")
                while state.read_text().rpartition(")")[2].split()[0] not in "TZ":
                    pass
                started.process.send_signal(signal.SIGCONT)
        code, _, _ = started.end()
        assert code == 0
        tables = ("tasks.parquet", "versions.parquet", "clients.parquet")
        found = [hashlib.sha256((folder / "out" / name / table).read_bytes()) for table in tables]
        hashes.append([each.hexdigest() for each in found])
    assert hashes[0] == hashes[1]
