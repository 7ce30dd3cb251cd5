"""A run while it goes on: what it says of itself in `progress.jsonl`, and a page that shows it."""

from flsim.observe.live.progress_file import ProgressFile
from flsim.observe.live.server import LiveServer

__all__ = ["LiveServer", "ProgressFile"]
