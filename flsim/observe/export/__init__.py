"""`flsim export`: a run in the formats of other tools, from its records alone. A module for each format."""

from flsim.observe.export.write import FORMATS, export

__all__ = ["FORMATS", "export"]
