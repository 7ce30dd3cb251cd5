"""The world: SimPy processes for the server, the clients, the network and availability."""
