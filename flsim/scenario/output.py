"""`output`: where the results go."""

from flsim.component import Section


class Output(Section):
    """The folder that holds a folder for each scenario name."""

    dir: str = "outputs"
    plots: bool = True
    timeline: bool = True
