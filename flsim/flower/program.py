"""A Flower app as the world sees it: a program that sends messages, and clients that answer them."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from importlib.metadata import version as version_of
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from flsim.draws import Stream
from flsim.errors import RunError
from flsim.flower.app import FlowerApp
from flsim.flower.clock import Clock, reading, replaced_time
from flsim.flower.copies import copy_of_records
from flsim.flower.executors import build_answering
from flsim.flower.generators import app_generators
from flsim.flower.grid import SimulatedGrid
from flsim.flower.legacy import waiting_for
from flsim.flower.metrics import Metrics
from flsim.flower.nodes import FIRST_NODE_ID, Nodes, Sent
from flsim.flower.observing import Numbers, observed
from flsim.flower.sizes import message_bytes, records_bytes
from flsim.flower.turns import Turns
from flsim.flower.versions import Versions
from flsim.flower.work import category
from flsim.from_flower import (
    SUPERLINK_NODE_ID,
    ArrayRecord,
    Context,
    Error,
    ErrorCode,
    Message,
    MessageType,
    RecordDict,
    Run,
    identified,
    make_message,
    unavailable_message,
    unavailable_node,
)
from flsim.messages import Answer, Collected, Event, Letter, Office, Pause, Refused, Silence, Tested
from flsim.plug_ins import error_text
from flsim.scenario import Scenario
from flsim.scenario.flower import FlowerWorkload
from flsim.sim.timing import NoLearner
from flsim.tasks import TrainingReport


class FlowerProgram(NoLearner):
    """Owns the messages of a run of a Flower app, and the thread of its ServerApp.

    It is a `Program` for the world, a `Post` for the grid and an `Observer` of strategies; and a `Learner`
    that has nothing to do, since the app learns by itself.
    """

    def __init__(self, scenario: Scenario, app: FlowerApp, samples: NDArray[np.int64]) -> None:
        """`samples`: how many each client has, [clients], as far as answers have told: this fills it in."""
        assert isinstance(scenario.workload, FlowerWorkload)  # noqa: S101
        self._scenario, self._spec, self._app = scenario, scenario.workload, app
        self._samples = samples
        self._run_id = Stream(scenario.seed, "flower.run").integer(0) >> 1
        self._metrics = Metrics(self._spec.accuracy, self._spec.loss)
        self._generators = app_generators(Stream(scenario.seed, "flower.server").integer(0))
        self._versions = Versions()
        self._turns = Turns(self._run)
        self._around = ExitStack()
        self._office: Office | None = None
        self._nodes: Nodes | None = None
        self._why = ""
        self._events: list[Event] = []
        self._sent: dict[int, Sent] = {}  # by number: messages that nobody has collected the end of
        self._answers: dict[int, Message] = {}  # by number: on their way back
        self._ready: dict[str, Message] = {}  # by the message's id, in order of arrival
        self._numbers = 0
        run = Run.create_empty(self._run_id)
        self._grid = SimulatedGrid(self, run, sleeps=self._spec.time == "virtual")

    # For the world

    def proceed(self, office: Office) -> Pause | None:
        """Raises RunError if the ServerApp has raised anything."""
        if self._office is None:
            self._office = office
            self._begin()
        with self._generators.drawn_from():
            pause = self._turns.go_on()
        if (failure := self._turns.failure) is not None:
            raise RunError(f"the ServerApp raised {error_text(failure)}\n-v shows where.") from failure
        return pause

    def events(self) -> list[Event]:
        events, self._events = self._events + self._versions.events(), []
        return events

    def answers(self, numbers: Sequence[int]) -> list[Answer]:
        answered = self._clients.answers([self._sent[number] for number in numbers], self.now())
        for number, each in zip(numbers, answered, strict=True):
            if each.message is not None:
                self._answers[number] = each.message
        return [each.answer for each in answered]

    def settle(self, number: int, *, computed: bool) -> None:
        self._clients.settle(self._sent[number].letter, computed=computed)

    def deliver(self, number: int) -> None:
        self._ready[_id_of(number)] = self._answers.pop(number)

    def silent(self, number: int, why: Silence) -> None:
        self._answers.pop(number, None)
        metadata = self._sent[number].message.metadata
        if why is Silence.EXPIRED:
            error = unavailable_message(metadata.message_id, self._run_id)
        else:
            error = unavailable_node(metadata)
        self._ready[metadata.message_id] = error

    def stop(self) -> None:
        self._turns.end()
        self._around.close()

    def close(self) -> TrainingReport:
        self.stop()
        trained, batches = (0, 0) if self._nodes is None else (self._nodes.trained, self._nodes.batches)
        return TrainingReport(
            executor=self._scenario.executor.kind,
            why=self._why,
            tasks=trained,
            unused=trained - self._versions.used,
            batches=batches,
            metrics=self._metrics.records(),
        )

    def told(self) -> dict[str, object]:
        """Return what flower.json has: the app, what was counted, and Flower's own metrics by round."""
        return {
            "app": self._app.folder.name,
            "app_sha256": self._app.sha256,
            "flower": version_of("flwr"),
            "config": self._app.config,
            "work": {"kind": self._spec.work.kind, **self._clients.counts.told()},
            **self._metrics.told(),
        }

    # For the grid

    def now(self) -> float:
        return self._world.now

    def node_ids(self) -> list[int]:
        return [FIRST_NODE_ID + client for client in self._world.online()]

    def push(self, messages: Iterable[Message]) -> list[str]:
        """Messages to nodes that do not exist are left out, as Flower leaves them out."""
        contents: dict[int, tuple[RecordDict, int, int]] = {}  # by identity: many messages may share one
        ids = []
        for message in messages:
            client = message.metadata.dst_node_id - FIRST_NODE_ID
            if not 0 <= client < len(self._samples):
                continue
            key = id(message.content)
            if key not in contents:
                records = copy_of_records(message.content)
                contents[key] = records, records_bytes(records), self._versions.carried(records)
            records, content_bytes, version = contents[key]
            number = self._numbers
            self._numbers += 1
            metadata = message.metadata
            metadata.__dict__["_message_id"] = _id_of(number)
            kept = make_message(metadata, content=records)
            letter = Letter(
                number=number,
                client=client,
                trains=category(metadata.message_type) == MessageType.TRAIN,
                kind=metadata.message_type,
                group=metadata.group_id,
                version=version,
                download_bytes=message_bytes(kept, content_bytes),
                expires_s=self.now() + min(metadata.ttl, self._spec.deadline or metadata.ttl),
            )
            self._sent[number] = Sent(letter, kept)
            self._tell(letter)
            ids.append(_id_of(number))
        return ids

    def pull(self, message_ids: Iterable[str]) -> list[Message]:
        """Messages that there are none of, or no more, are answered by Flower's error."""
        wanted = set(message_ids)
        there = [message_id for message_id in self._ready if message_id in wanted]
        replies = [self._collected(message_id) for message_id in there]
        for message_id in sorted(wanted.difference(there)):
            if _number_of(message_id) not in self._sent:
                replies.append(unavailable_message(message_id, self._run_id))
        return replies

    def wait(self, pause: Pause) -> None:
        if not self._turns.is_programs:
            raise RuntimeError("only the ServerApp's own thread can wait for replies or nodes")
        with reading(None):
            self._turns.wait(pause)

    # Of strategies

    def began(self, arrays: ArrayRecord) -> None:
        self._versions.began(arrays)

    def aggregated(
        self, server_round: int, replies: Sequence[Message] | None, result: Any, weighted_by: str | None
    ) -> None:
        used = None
        if replies is not None:
            valid = [reply for reply in replies if not reply.has_error()]
            used = _weights(valid, weighted_by)
        arrays, metrics = result
        self._versions.aggregated(arrays, used)
        self._metrics.add("train_metrics_clientapp", server_round, self._versions.current, metrics)

    def evaluated(self, metrics: Numbers | None, server_round: int, *, by_server: bool) -> None:
        if not metrics:
            return
        version = self._versions.current
        who = "serverapp" if by_server else "clientapp"
        self._metrics.add(f"evaluate_metrics_{who}", server_round, version, metrics)
        if self._versions.tested(by_server=by_server):
            self._tell(Tested(version, *self._metrics.tested(metrics)))

    def excluded(self, reply: Message, error: BaseException) -> Message:
        """Flower's own words go into the record."""
        reason = error_text(error)
        number = _number_of(reply.metadata.reply_to_message_id)
        self._tell(Refused(number, ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason))
        self._versions.refused(number)
        return make_message(reply.metadata, error=Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason))

    # Inside

    @property
    def _world(self) -> Office:
        assert self._office is not None  # noqa: S101
        return self._office

    @property
    def _clients(self) -> Nodes:
        assert self._nodes is not None  # noqa: S101
        return self._nodes

    def _tell(self, event: Event) -> None:
        """Enter an event behind those of versions that came before it."""
        self._events += [*self._versions.events(), event]

    def _begin(self) -> None:
        """Prepare everything that the app runs in, and load it."""
        around = self._around
        around.enter_context(_quiet())
        around.enter_context(identified(run_id=self._run_id, node_id=SUPERLINK_NODE_ID))
        if self._spec.time == "virtual":
            around.enter_context(replaced_time())
        with self._generators.drawn_from():
            self._server_app = self._app.server.load_server_app()
        answering = build_answering(self._scenario, self._app.client)
        around.callback(answering.close)
        self._why = answering.why
        seed, config = self._scenario.seed, self._app.config
        self._nodes = Nodes(self._spec, seed, answering, self._samples, config)
        around.enter_context(waiting_for(self._grid))
        around.enter_context(observed(self))

    def _run(self) -> None:
        """The ServerApp's thread."""
        torch.set_num_threads(1)  # of this thread; `prepare` has said so for the other one
        context = Context(self._run_id, 0, {}, RecordDict(), dict(self._app.config))
        virtual = self._spec.time == "virtual"
        with reading(Clock(self.now, self._grid.sleep)) if virtual else nullcontext():
            self._server_app(grid=self._grid, context=context)

    def _collected(self, message_id: str) -> Message:
        number = _number_of(message_id)
        sent, reply = self._sent.pop(number), self._ready.pop(message_id)
        self._tell(Collected(number))
        if sent.letter.trains and not reply.has_error():
            self._versions.collected(number)
        return reply


def _id_of(number: int) -> str:
    """Return the id of a message: as long as Flower's, which are hashes."""
    return f"{number:064x}"


def _number_of(message_id: str) -> int:
    """Return the number of the message with an id; -1 if it is no such id."""
    try:
        return int(message_id, 16)
    except ValueError:
        return -1


def _weights(replies: Sequence[Message], weighted_by: str | None) -> dict[int, float | None]:
    """Return what each reply's message counts for; None if the strategy has no metric that says so."""
    numbers = [_number_of(reply.metadata.reply_to_message_id) for reply in replies]
    weights: list[float] = []
    if weighted_by is None:
        return dict.fromkeys(numbers)
    for reply in replies:
        for record in reply.content.metric_records.values():
            if isinstance(value := record.get(weighted_by), int | float):
                weights.append(float(value))
                break
    if len(weights) != len(numbers) or not sum(weights):
        return dict.fromkeys(numbers)
    return {number: weight / sum(weights) for number, weight in zip(numbers, weights, strict=True)}


@contextmanager
def _quiet() -> Iterator[None]:
    """Let Flower log what is wrong, and not every round."""
    logger = logging.getLogger("flwr")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)
