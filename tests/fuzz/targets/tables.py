"""The tables of a run that somebody hands on: each of them changed, beside the others as they were."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from tests.fuzz.folded import folded
from tests.fuzz.place import folder, placed
from tests.fuzz.target import CORPUS, Target

_NAMES = ("tasks", "versions", "clients")


@cache
def _run() -> Path:
    for name in _NAMES:
        _place(name, (CORPUS / name / f"{name}.parquet").read_bytes())
    return folder() / "run"


def _place(name: str, content: bytes) -> None:
    placed(f"run/{name}.parquet", content)


def _reading(name: str) -> Callable[[bytes], None]:
    def read(content: bytes) -> None:
        run = _run()
        _place(name, content)
        try:
            folded(run, run / f"{name}.parquet")
        finally:
            _place(name, (CORPUS / name / f"{name}.parquet").read_bytes())

    return read


TARGETS = tuple(Target(name, _reading(name), "table", share=0.4) for name in _NAMES)
