"""`output`: where the results go."""

from flsim.component import Section


class Output(Section):
    """The folder that holds a folder for each scenario name."""

    dir: str = "outputs"
    plots: bool = True
    timeline: bool = True
    model: bool = False  # the last version, as model.pt and model.safetensors
    report: bool = False  # five megabytes, the same script in each: `flsim report DIR` makes it when wanted
