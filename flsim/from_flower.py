"""What flsim takes of Flower: the one module that imports `flwr`.

It is imported where there is a Flower app or strategy, since importing takes a while. Raises ScenarioError
if Flower is not installed, or lacks what is needed.
"""

from flsim.errors import ScenarioError

try:
    from flwr.app import (
        Array,
        ArrayRecord,
        ConfigRecord,
        Context,
        Error,
        Message,
        MessageType,
        MetricRecord,
        RecordDict,
    )
    from flwr.clientapp import ClientApp
    from flwr.serverapp import Grid, ServerApp
    from flwr.serverapp.strategy import Strategy
except ImportError as error:
    raise ScenarioError(
        f"Flower is needed, and cannot be imported ({error}): pip install 'flsim-des[flower]'"
    ) from error

__all__ = [
    "Array",
    "ArrayRecord",
    "ClientApp",
    "ConfigRecord",
    "Context",
    "Error",
    "Grid",
    "Message",
    "MessageType",
    "MetricRecord",
    "RecordDict",
    "ServerApp",
    "Strategy",
]
