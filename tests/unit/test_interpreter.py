"""Modules are imported without looking for garbage, and a process ends with all that belongs to it."""

import gc
import subprocess
import sys

import pytest

from flsim.interpreter import importing


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_is_looked_for_as_before_after_importing(enabled: bool) -> None:
    if not enabled:
        gc.disable()
    try:
        gc.unfreeze()
        with importing():
            assert not gc.isenabled()
        assert gc.get_freeze_count() == 0  # nothing was imported: what is garbage by now can be collected
        with importing():
            sys.modules["flsim.made_up"] = sys.modules["flsim"]
        assert gc.isenabled() is enabled
        assert gc.get_freeze_count() > 0  # what was imported is not looked through again
    finally:
        sys.modules.pop("flsim.made_up", None)
        gc.unfreeze()
        gc.enable()


def ended(program: str) -> subprocess.CompletedProcess[str]:
    lines = f"import atexit, sys, threading, time\nfrom flsim.interpreter import leave\n{program}"
    return subprocess.run([sys.executable, "-E", "-c", lines], capture_output=True, text=True, check=False)


def test_what_was_printed_and_what_is_registered_comes_before_the_end() -> None:
    done = ended("atexit.register(print, 'and this')\nprint('this', end=' ')\nleave(3)")
    assert (done.returncode, done.stdout, done.stderr) == (3, "this and this\n", "")


def test_memory_is_not_freed_piece_by_piece() -> None:
    keeps = "class Kept:\n    def __del__(self): print('freed')\nkept = Kept()\n"
    assert ended(f"{keeps}leave(0)").stdout == ""


def test_a_thread_that_has_something_to_finish_finishes_it() -> None:
    later = "def later():\n    time.sleep(0.2)\n    print('done')\n"
    assert ended(f"{later}threading.Thread(target=later).start()\nleave(0)").stdout == "done\n"
    assert ended(f"{later}threading.Thread(target=later, daemon=True).start()\nleave(0)").stdout == ""


def test_output_that_nobody_takes_is_told_as_python_tells_it() -> None:
    shut = "import os\nos.close(1)\nsys.stdout.write('lost')\nleave(0)"
    done = ended(shut)
    assert done.returncode == 120
    assert "Bad file descriptor" in done.stderr
    assert ended("sys.stdout = None\nleave(0)").returncode == 0
