"""A strategy of Flower's, which says whom a round asks, and makes the next version of the answers."""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, create_model, model_validator

from flsim.component import misfit
from flsim.draws import Stream
from flsim.errors import RunError, ScenarioError
from flsim.policy.strategy import Strategy
from flsim.policy.view import Aggregate, Choice, Decision, Discard, Dispatch, View, Wait
from flsim.policy.weighting import shares
from flsim.quantities import PositiveSeconds

if TYPE_CHECKING:
    from flsim.from_flower import Strategy as FlowerClass

ImportPath = Annotated[str, Field(pattern=r"^[\w.]+:\w+$")]
Argument = bool | int | float | str | list[int] | list[float] | list[str] | None

if TYPE_CHECKING:
    _WithClass = Strategy
else:  # a key named as Python's own word is no name for an attribute of a class
    _WithClass = create_model("_WithClass", __base__=Strategy, **{"class": (ImportPath, ...)})


class FlowerStrategy(_WithClass):
    """A strategy of Flower's message API, on flsim's clients and model (extra `flower`).

    A round asks whom its `configure_train` chooses among the idle clients, and waits for all of them, until
    the deadline if there is one; who has not answered by then is called off. A round does not start while
    it would wait for more clients. What its `aggregate_train` makes of the answers is the next version; so
    the selection, the aggregation and the server optimiser are the strategy's. A round without an answer is
    begun anew, with a new choice.

    `class`: the module and its class, such as `flwr.serverapp.strategy:FedAdagrad`. `arguments`: what it is
    called with. `deadline`: how long a round takes at most, from its start; none means for as long as it
    takes.
    """

    kind: Literal["flower"] = "flower"
    arguments: dict[str, Argument] = Field(default_factory=dict)
    deadline: PositiveSeconds | None = None

    @model_validator(mode="after")
    def _can_be_followed(self) -> Self:
        try:
            from flsim.policy.flower_rounds import NotFollowedError
        except ScenarioError as error:
            raise misfit(("kind",), self.kind, str(error)) from error
        try:
            self.clients_needed  # noqa: B018 - asks for a round, and with it for all that it takes
        except NotFollowedError as error:
            raise misfit(("class",), self.path, str(error)) from error
        return self

    @property
    def path(self) -> str:
        """The import path of its class, which is the key `class`."""
        return str(getattr(self, "class"))

    def made(self) -> "FlowerClass":
        """Return a strategy of its class, as it is before its first round."""
        from flsim.policy.flower_rounds import made

        return made(self._class, dict(self.arguments))

    @property
    def may_discard(self) -> bool:
        return self.deadline is not None

    @property
    def clients_needed(self) -> int:
        return self._fewest

    def decide(self, view: View) -> Decision:
        tasks = tuple(arrival.task for arrival in view.inbox)
        if view.in_flight == 0 and not tasks:
            clients = view.choose(self._choice(view.version + 1))
            return Dispatch(clients) if clients else Wait(for_clients=True)
        if view.in_flight > 0 and not self._deadline_passed(view):
            return Wait(None if self.deadline is None else view.last_dispatch_s + self.deadline)
        if tasks:
            return Aggregate(tasks, shares(tasks, "samples"), discard=tuple(view.outstanding()))
        return Discard(tuple(view.outstanding()))

    def _choice(self, server_round: int) -> Choice:
        """Return what chooses a round's clients, or nobody as long as there are too few."""
        from flsim.from_flower import ArrayRecord
        from flsim.policy.flower_rounds import NotFollowedError, asked_by

        def choice(idle: Sequence[int], draws: Stream, selection: int) -> tuple[int, ...]:
            nodes, seed = sorted(idle[:]), draws.integer(selection)
            try:
                return asked_by(self.made(), server_round, ArrayRecord(), nodes, seed) or ()
            except NotFollowedError as error:
                raise RunError(f"strategy flower: {error}") from error

        return choice

    def _deadline_passed(self, view: View) -> bool:
        return self.deadline is not None and view.now >= view.last_dispatch_s + self.deadline

    @cached_property
    def _class(self) -> "type[FlowerClass]":
        from flsim.policy.flower_rounds import strategy_class

        return strategy_class(self.path)

    @cached_property
    def _fewest(self) -> int:
        from flsim.policy.flower_rounds import fewest_nodes

        arguments: dict[str, Any] = dict(self.arguments)
        return fewest_nodes(self._class, arguments)
