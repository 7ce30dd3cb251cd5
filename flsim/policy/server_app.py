"""The strategy of a Flower app: what its ServerApp does."""

from typing import ClassVar, Literal

from flsim.errors import RunError
from flsim.policy.strategy import Strategy
from flsim.policy.view import Decision, View


class ServerAppStrategy(Strategy):
    """The app's own ServerApp decides. For workload flower, which has no other."""

    kind: Literal["server_app"] = "server_app"
    ends_by_itself: ClassVar[bool] = True

    @property
    def clients_needed(self) -> int:
        return 1

    def decide(self, view: View) -> Decision:
        """Raises RunError: nobody asks."""
        raise RunError("strategy server_app: a Flower app decides by itself")
