"""The server of a program: it carries messages, and leaves it to the program what they are for."""

from flsim.sim.messages.server import MessageServer

__all__ = ["MessageServer"]
