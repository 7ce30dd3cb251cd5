"""A Flower app as the world sees it: a program that sends messages, and clients that answer them."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from importlib.metadata import version as version_of
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flsim.draws import Stream
from flsim.errors import RunError
from flsim.flower.answering import Call, Reply
from flsim.flower.app import FlowerApp
from flsim.flower.clock import Clock, reading, replaced_time
from flsim.flower.copies import copy_of_context, copy_of_message, copy_of_records
from flsim.flower.executors import Answering, build_answering
from flsim.flower.generators import Generators
from flsim.flower.grid import SimulatedGrid
from flsim.flower.legacy import waiting_for
from flsim.flower.metrics import Metrics
from flsim.flower.observing import Numbers, observed
from flsim.flower.sizes import message_bytes, records_bytes
from flsim.flower.turns import Turns
from flsim.flower.versions import Versions
from flsim.flower.work import Counts, category, took
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
    TaskIdentity,
    create_message_error_unavailable_ins_message,
    create_message_error_unavailable_res_message,
    make_message,
)
from flsim.messages import Answer, Collected, Event, Letter, Office, Pause, Refused, Silence, Tested
from flsim.plug_ins import error_text
from flsim.scenario import Scenario
from flsim.scenario.flower import CountedWork, FlowerWorkload
from flsim.sim.timing import NoLearner
from flsim.tasks import TrainingReport

FIRST_NODE_ID = 1_000_000_000
"""The id of client 0's node; the others follow. Flower's own are random."""


class _Sent(NamedTuple):
    """A message that was pushed, as the node will be given it."""

    letter: Letter
    message: Message


class FlowerProgram(NoLearner):
    """Owns a run of a Flower app: its messages, its nodes' contexts, and the thread of its ServerApp.

    It is a `Program` for the world, a `Post` for the grid and an `Observer` of strategies; and a `Learner`
    that has nothing to do, since the app learns by itself. Answers are computed when a message goes out,
    all those of an instant together; a node's context is what its last finished answer left.
    """

    def __init__(self, scenario: Scenario, app: FlowerApp, samples: NDArray[np.int64]) -> None:
        """`samples`: how many each client has, [clients], as far as answers have told: this fills it in."""
        assert isinstance(scenario.workload, FlowerWorkload)  # noqa: S101
        self._scenario, self._spec, self._app = scenario, scenario.workload, app
        self._samples = samples
        self._run_id = Stream(scenario.seed, "flower.run").integer(0) >> 1
        self._metrics = Metrics(self._spec.accuracy, self._spec.loss)
        self._generators = Generators(Stream(scenario.seed, "flower.server").integer(0))
        self._counts = Counts()
        self._versions = Versions()
        self._turns = Turns(self._run)
        self._around = ExitStack()
        self._office: Office | None = None
        self._answering: Answering | None = None
        self._events: list[Event] = []
        self._sent: dict[int, _Sent] = {}  # by number: messages that nobody has collected the end of
        self._answers: dict[int, Message] = {}  # by number: on their way back
        self._ready: dict[str, Message] = {}  # by the message's id, in order of arrival
        self._contexts: dict[int, Context] = {}  # by client
        self._contexts_after: dict[int, Context | None] = {}  # by number
        self._numbers = 0
        self._batches = self._trained = 0
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
        sent = [self._sent[number] for number in numbers]
        replies = self._replies(sent)
        self._batches += 1
        return [self._answer(each, reply) for each, reply in zip(sent, replies, strict=True)]

    def settle(self, number: int, *, computed: bool) -> None:
        context = self._contexts_after.pop(number)
        if computed and context is not None:
            self._contexts[self._sent[number].letter.client] = context

    def deliver(self, number: int) -> None:
        self._ready[_id_of(number)] = self._answers.pop(number)

    def silent(self, number: int, why: Silence) -> None:
        self._answers.pop(number, None)
        metadata = self._sent[number].message.metadata
        if why is Silence.EXPIRED:
            error = create_message_error_unavailable_ins_message(metadata.message_id, self._run_id)
        else:
            error = create_message_error_unavailable_res_message(metadata, "node_unavail")
        self._ready[metadata.message_id] = error

    def stop(self) -> None:
        self._turns.end()
        self._around.close()

    def close(self) -> TrainingReport:
        self.stop()
        used = self._versions.used
        return TrainingReport(
            executor=self._scenario.executor.kind,
            why="" if self._answering is None else self._answering.why,
            tasks=self._trained,
            unused=self._trained - used,
            batches=self._batches,
            metrics=self._metrics.records(),
        )

    def told(self) -> dict[str, object]:
        """Return what flower.json has: the app, what was counted, and Flower's own metrics by round."""
        return {
            "app": self._app.folder.name,
            "app_sha256": self._app.sha256,
            "flower": version_of("flwr"),
            "config": self._app.config,
            "work": {"kind": self._spec.work.kind, **self._counts.told()},
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
            self._sent[number] = _Sent(letter, kept)
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
                replies.append(create_message_error_unavailable_ins_message(message_id, self._run_id))
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
        self._versions.aggregated(result[0], used)

    def trains(self, metrics: Numbers | None, server_round: int) -> None:
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

    def _tell(self, event: Event) -> None:
        """Enter an event behind those of versions that came before it."""
        self._events += [*self._versions.events(), event]

    def _begin(self) -> None:
        """Prepare everything that the app runs in, and load it."""
        around = self._around
        around.enter_context(_quiet())
        around.enter_context(_identity(self._run_id))
        if self._spec.time == "virtual":
            around.enter_context(replaced_time())
        with self._generators.drawn_from():
            self._server_app = self._app.load_server_app()
        self._answering = build_answering(self._scenario.executor, self._app, self._run_id)
        around.callback(self._answering.close)
        around.enter_context(waiting_for(self._grid))
        around.enter_context(observed(self))

    def _run(self) -> None:
        """The ServerApp's thread."""
        context = Context(self._run_id, 0, {}, RecordDict(), dict(self._app.config))
        virtual = self._spec.time == "virtual"
        with reading(Clock(self.now, self._grid.sleep)) if virtual else nullcontext():
            self._server_app(grid=self._grid, context=context)

    def _replies(self, sent: Sequence[_Sent]) -> list[Reply]:
        """Let nodes answer. Where work is counted, so is the first answer of each type that succeeds."""
        assert self._answering is not None  # noqa: S101
        replies: dict[int, Reply] = {}
        if isinstance(self._spec.work, CountedWork):
            counted: set[str] = set()
            for place, each in enumerate(sent):
                kind = each.letter.kind
                if kind in counted or self._counts.knows(kind):
                    continue
                replies[place] = reply = self._answering.answers([self._call(each, counts=True)])[0]
                if reply.message is not None and not reply.message.has_error():
                    counted.add(kind)
        left = [place for place in range(len(sent)) if place not in replies]
        calls = [self._call(sent[place], counts=False) for place in left]
        replies |= zip(left, self._answering.answers(calls), strict=True)
        return [replies[place] for place in range(len(sent))]

    def _call(self, sent: _Sent, *, counts: bool) -> Call:
        return Call(
            message=copy_of_message(sent.message),
            context=copy_of_context(self._context(sent.letter.client)),
            seed=Stream(self._scenario.seed, "flower.answer").integer(sent.letter.number),
            counts=counts,
            now_s=self.now() if self._spec.time == "virtual" else None,
            patience_s=self._spec.patience,
        )

    def _context(self, client: int) -> Context:
        if client not in self._contexts:
            place: dict[str, Any] = {"partition-id": client, "num-partitions": len(self._samples)}
            state, config = RecordDict(), dict(self._app.config)
            self._contexts[client] = Context(self._run_id, FIRST_NODE_ID + client, place, state, config)
        return self._contexts[client]

    def _answer(self, sent: _Sent, reply: Reply) -> Answer:
        letter, message = sent.letter, reply.message
        self._contexts_after[letter.number] = reply.context
        if letter.trains:
            self._trained += 1
        if message is None:
            why = f"no answer after {self._spec.patience:g} real seconds"
            return Answer(None, 0.0, 0, reason=why, hangs=True)
        message = copy_of_message(message)
        message.metadata.__dict__["_message_id"] = f"{_id_of(letter.number)}r"
        self._answers[letter.number] = message
        if message.has_error():
            spent = took(self._spec.work, letter, reply, 0, self._counts, self._scenario.seed)
            error, size = message.error, message_bytes(message)
            return Answer(
                spent.flop, spent.seconds + reply.slept_s, size, error=error.code, reason=error.reason
            )
        samples, loss = _samples_in(message), _loss_in(message)
        spent = took(self._spec.work, letter, reply, samples, self._counts, self._scenario.seed)
        if letter.trains and samples:
            self._samples[letter.client] = samples
        return Answer(spent.flop, spent.seconds + reply.slept_s, message_bytes(message), samples, loss)

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


def _samples_in(message: Message) -> int:
    """Return how many examples an answer says it is of; 0 if it does not say."""
    for record in message.content.metric_records.values():
        for name in ("num-examples", "num_examples"):
            if isinstance(value := record.get(name), int | float) and value > 0:
                return int(value)
    return 0


def _loss_in(message: Message) -> float | None:
    """Return the first loss among an answer's metrics."""
    for record in message.content.metric_records.values():
        for name, value in record.items():
            if "loss" in name and isinstance(value, int | float):
                return float(value)
    return None


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
def _identity(run_id: int) -> Iterator[None]:
    """Be Flower's server, whose messages are of a run."""
    names = ("_task_id", "_run_id", "_node_id")
    before = [getattr(TaskIdentity, name) for name in names]
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, run_id, SUPERLINK_NODE_ID
    try:
        yield
    finally:
        for name, value in zip(names, before, strict=True):
            setattr(TaskIdentity, name, value)


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
