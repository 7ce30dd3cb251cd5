"""Strategies (when), selection (whom) and weights (how much): pure decisions over a view."""

from typing import Annotated

from flsim.component import Kinds
from flsim.policy.fedasync import FedAsync
from flsim.policy.fedat import FedAT
from flsim.policy.fedbuff import FedBuff
from flsim.policy.flower import FlowerStrategy
from flsim.policy.port import Port
from flsim.policy.selection import Selection
from flsim.policy.selections import AnySelection
from flsim.policy.server_app import ServerAppStrategy
from flsim.policy.strategy import Strategy
from flsim.policy.sync import Sync

AnyStrategy = Annotated[
    Strategy, Kinds(Strategy, Sync, FedAsync, FedBuff, Port, FedAT, FlowerStrategy, ServerAppStrategy)
]

__all__ = [
    "AnySelection",
    "AnyStrategy",
    "FedAT",
    "FedAsync",
    "FedBuff",
    "FlowerStrategy",
    "Port",
    "Selection",
    "ServerAppStrategy",
    "Strategy",
    "Sync",
]
