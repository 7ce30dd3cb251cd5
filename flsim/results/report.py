"""The report of a run, for a program that wants its path or a notebook that shows it."""

import html
import os
from dataclasses import dataclass
from pathlib import Path

_HEIGHT_PX = 720


@dataclass(frozen=True)
class Report(os.PathLike[str]):
    """Where a report is. A notebook shows it in a frame, so the notebook then holds all of it."""

    path: Path

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)

    def _repr_html_(self) -> str:
        page = html.escape(self.path.read_text("utf-8"))
        style = f"width: 100%; height: {_HEIGHT_PX}px; border: 1px solid #8888"
        return f'<iframe title="Report of the run" srcdoc="{page}" style="{style}"></iframe>'
