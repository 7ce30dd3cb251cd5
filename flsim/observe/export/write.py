"""Where an export goes, and who writes it."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from flsim.errors import RunError
from flsim.observe.excerpt import EVERYTHING, Excerpt
from flsim.observe.export.csv import write_csv
from flsim.observe.export.jsonl import write_jsonl
from flsim.observe.export.otlp_json import write_otlp_json
from flsim.observe.export.parquet import write_parquet
from flsim.observe.export.perfetto import write_perfetto
from flsim.observe.export.records import Named, tables_in
from flsim.observe.folder import RECORDS, SCENARIO, below
from flsim.observe.report.run_facts import Recorded, read_recorded


class _File(NamedTuple):
    """A format that is one file, of a run or of a part of it."""

    name: str
    write: Callable[[Recorded, Path, Excerpt], None]


class _Folder(NamedTuple):
    """A format that is a folder with a file for each table."""

    name: str
    write: Callable[[Named, Path], None]


FORMATS: dict[str, _File | _Folder] = {
    "perfetto": _File("timeline.json.gz", write_perfetto),
    "csv": _Folder("csv", write_csv),
    "parquet": _Folder("parquet", write_parquet),
    "jsonl": _Folder("jsonl", write_jsonl),
    "otlp-json": _File("traces.json", write_otlp_json),
}


def export(folder: Path, form: str, out: Path | None = None, part: Excerpt = EVERYTHING) -> Path:
    """Write the run in `folder` in one of the `FORMATS`, and return where.

    out: the file or the folder to write, by default one below `folder/export/`. part: of the run; formats
    that are a folder of tables have no parts. Raises RunError if a record cannot be read, if `out` is no
    place for the format or would replace a record of the run, or if it cannot be written.
    """
    run = read_recorded(folder)
    if part.clients is not None and max(last for _, last in part.clients) >= run.clients:
        last = max(last for _, last in part.clients)
        raise RunError(f"{folder}: there is no client {last}; they are 0 to {run.clients - 1}")
    kind = FORMATS[form]
    path = below(folder, "export") / kind.name if out is None else out
    if isinstance(kind, _File):
        if path.is_dir():
            raise RunError(f"{path} is a folder; {form} is one file, such as {path / kind.name}")
        if path.parent.resolve() == folder.resolve() and path.name in (*RECORDS, SCENARIO):
            raise RunError(f"{path} is a record of the run; choose another file with --out")
        kind.write(run, path, part)
        return path
    if not part.is_everything:
        raise RunError(f"{form} is of whole tables; clients and a stretch of time go with {_of_parts()}")
    if path.exists() and not path.is_dir():
        raise RunError(f"{path} is a file; {form} is a folder with a file for each table")
    if path.resolve() == folder.resolve():
        raise RunError(f"{path} is the folder of the run; choose another with --out")
    kind.write(tables_in(folder, run.tables), path)
    return path


def _of_parts() -> str:
    return " and ".join(name for name, kind in FORMATS.items() if isinstance(kind, _File))
