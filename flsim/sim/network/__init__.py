"""The network: transfers between the clients and the server, and how they share the links.

A transfer takes its client's latency, and then its bits flow: through the client's own link, and
through the server's link in that direction.
"""

from flsim.sim.network.build import build_network
from flsim.sim.network.transfer import Direction, Network, Transfer

__all__ = ["Direction", "Network", "Transfer", "build_network"]
