"""What a person sees: while a run or a sweep goes on, at its end, and before anything runs."""

from flsim.terminal.description import print_description
from flsim.terminal.display import Display, display_on
from flsim.terminal.notebook import NotebookBar, NotebookSweepWatcher, in_notebook
from flsim.terminal.result import print_result
from flsim.terminal.searches import SearchWatcher, print_search
from flsim.terminal.sweeps import SweepWatcher, print_comparison, print_sweep
from flsim.terminal.watch import Watcher

__all__ = [
    "Display",
    "NotebookBar",
    "NotebookSweepWatcher",
    "SearchWatcher",
    "SweepWatcher",
    "Watcher",
    "display_on",
    "in_notebook",
    "print_comparison",
    "print_description",
    "print_result",
    "print_search",
    "print_sweep",
]
