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
    from flwr.app.message import make_message
    from flwr.app.metadata import Metadata
    from flwr.clientapp import ClientApp
    from flwr.clientapp.client_app import LoadClientAppError
    from flwr.common import Parameters
    from flwr.common.config import flatten_dict, get_project_config
    from flwr.common.constant import SUPERLINK_NODE_ID, ErrorCode
    from flwr.common.serde import message_to_proto, recorddict_to_proto
    from flwr.compat.common.recorddict_compat import parameters_to_arrayrecord
    from flwr.proto.node_pb2 import NodeInfo
    from flwr.server import server as legacy_server
    from flwr.server.client_manager import SimpleClientManager
    from flwr.server.compat import app as legacy_app
    from flwr.server.compat import app_utils as legacy_nodes
    from flwr.server.strategy import Strategy as LegacyStrategy
    from flwr.server.superlink.linkstate.utils import (
        create_message_error_unavailable_ins_message,
        create_message_error_unavailable_res_message,
    )
    from flwr.serverapp import Grid, ServerApp
    from flwr.serverapp.server_app import LoadServerAppError
    from flwr.serverapp.strategy import Strategy, strategy_utils
    from flwr.supercore.object_ref import load_app
    from flwr.supercore.run import Run
    from flwr.supercore.task_identity import TaskIdentity
except ImportError as error:
    raise ScenarioError(
        f"Flower is needed, and cannot be imported ({error}): pip install 'flsim-des[flower]'"
    ) from error

__all__ = [
    "SUPERLINK_NODE_ID",
    "Array",
    "ArrayRecord",
    "ClientApp",
    "ConfigRecord",
    "Context",
    "Error",
    "ErrorCode",
    "Grid",
    "LegacyStrategy",
    "LoadClientAppError",
    "LoadServerAppError",
    "Message",
    "MessageType",
    "Metadata",
    "MetricRecord",
    "NodeInfo",
    "Parameters",
    "RecordDict",
    "Run",
    "ServerApp",
    "SimpleClientManager",
    "Strategy",
    "TaskIdentity",
    "create_message_error_unavailable_ins_message",
    "create_message_error_unavailable_res_message",
    "flatten_dict",
    "get_project_config",
    "legacy_app",
    "legacy_nodes",
    "legacy_server",
    "load_app",
    "make_message",
    "message_to_proto",
    "parameters_to_arrayrecord",
    "recorddict_to_proto",
    "strategy_utils",
]
