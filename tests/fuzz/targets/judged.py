"""Report, pictures and verdict of a run, one of whose tables somebody has changed."""

import io
from functools import cache
from pathlib import Path
from zlib import crc32

import matplotlib.figure  # noqa: F401 - here, and not when an input is watched: it writes into its cache
import pyarrow as pa
import pyarrow.parquet as parquet

from flsim.govern.compliance import comply
from flsim.govern.policy import Policy
from flsim.observe.plots import PICTURES
from flsim.observe.report.run_facts import read_recorded
from flsim.observe.report.write import report
from flsim.observe.tables import read_tables
from tests.fuzz.place import placed
from tests.fuzz.target import CORPUS, Target
from tests.fuzz.targets.side_tables import good, run_with_tables, side_tables

_MAIN = ("tasks", "versions", "clients")


@cache
def _files() -> dict[str, bytes]:
    main = {name: (CORPUS / name / f"{name}.parquet").read_bytes() for name in _MAIN}
    return main | {name: good(name) for name in side_tables()}


@cache
def _columns() -> dict[str, set[str]]:
    return {name: set(parquet.read_schema(io.BytesIO(content)).names) for name, content in _files().items()}


def _which(content: bytes) -> str:
    """Return the table that an input is nearest to, by its columns."""
    try:
        names = set(parquet.read_schema(io.BytesIO(content)).names)
    except (pa.ArrowException, OSError, ValueError):
        return _MAIN[0]
    return max(
        _columns(), key=lambda name: len(names & _columns()[name]) - len(names ^ _columns()[name]) / 100
    )


def _with(content: bytes) -> tuple[Path, str]:
    """Put a table among the others of a run; return the run's folder, and which table it was."""
    run, name = run_with_tables(*side_tables()), _which(content)
    placed(f"{run.name}/summary.json", (CORPUS / "summary" / "summary.json").read_bytes())
    placed(f"{run.name}/{name}.parquet", content)
    return run, name


def _restore(run: Path, name: str) -> None:
    placed(f"{run.name}/{name}.parquet", _files()[name])


def drawn(content: bytes) -> None:
    """The report, and one of the pictures."""
    run, name = _with(content)
    try:
        report(read_recorded(run))
        figure = list(PICTURES.values())[crc32(content) % len(PICTURES)](read_tables(run))
        if figure is not None:
            figure.savefig(io.BytesIO(), format="png", dpi=40)
    finally:
        _restore(run, name)


def verdict(content: bytes) -> None:
    run, name = _with(content)
    try:
        comply(run, Policy())
    finally:
        _restore(run, name)


def _all() -> list[bytes]:
    return list(_files().values())


TARGETS = (
    Target("drawn", drawn, "table", _all, share=0.4),
    Target("verdict", verdict, "table", _all, share=0.4),
)
