"""`output`: where the results go."""

from flsim.component import Section


class Output(Section):
    """The folder that holds a folder for each scenario name.

    `dir`: that folder. `plots`: whether pictures are drawn. `timeline`: whether timeline.json.gz is
    written, for Perfetto. `report`: whether report.html is written.
    """

    dir: str = "outputs"
    plots: bool = True
    timeline: bool = True
    report: bool = False  # five megabytes, the same script in each: `flsim report DIR` makes it when wanted
