"""What a run has left, for a program or a notebook: its numbers, its tables, its pictures."""

from flsim.results.fl_metrics import Evaluation, FLMetrics
from flsim.results.plots import Plots
from flsim.results.report import Report
from flsim.results.run import Run, load

__all__ = ["Evaluation", "FLMetrics", "Plots", "Report", "Run", "load"]
