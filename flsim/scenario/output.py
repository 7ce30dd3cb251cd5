"""`output`: where the results go."""

from flsim.component import Section


class Output(Section):
    """The folder that holds a folder for each scenario name."""

    dir: str = "outputs"
    plots: bool = True
    timeline: bool = True
    absences: bool = True  # when clients were away: a row for each time, which adds up in large fleets
    report: bool = False  # five megabytes, the same script in each: `flsim report DIR` makes it when wanted
