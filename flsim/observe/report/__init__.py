"""Pages of one file that open without a network: `report.html` of a run, and how methods compare."""

from flsim.observe.report.comparison import write_comparison
from flsim.observe.report.write import report, write_report

__all__ = ["report", "write_comparison", "write_report"]
