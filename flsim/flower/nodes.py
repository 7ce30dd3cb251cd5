"""The nodes of a Flower app: what each keeps between two answers, and how it answers."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flsim.draws import Stream
from flsim.flower.answering import Call, Reply
from flsim.flower.executors import Answering
from flsim.flower.work import Counts, took
from flsim.from_flower import Context, Message, RecordDict
from flsim.messages import Answer, Letter
from flsim.scenario.flower import CountedWork, FlowerWorkload, Setting

FIRST_NODE_ID = 1_000_000_000
"""The id of client 0's node; the others follow. Flower's own are random."""


class Sent(NamedTuple):
    """A message that was pushed, as the node will be given it."""

    letter: Letter
    message: Message


class Answered(NamedTuple):
    """What came of a message at its node. `message`: the reply, None if there will be none."""

    answer: Answer
    message: Message | None


class Nodes:
    """Owns the nodes' contexts, and what was counted of their work.

    Answers are computed when their messages go out. What a node keeps of one becomes its context when it
    has come to the end of it, in virtual time.
    """

    def __init__(
        self,
        spec: FlowerWorkload,
        seed: int,
        answering: Answering,
        samples: NDArray[np.int64],
        config: dict[str, Setting],
    ) -> None:
        """`samples`: [clients], filled in as answers tell of them. `config`: the app's run config."""
        self._spec, self._seed = spec, seed
        self._answering = answering
        self._samples = samples
        self._config = config
        self._draws = Stream(seed, "flower.answer")
        self._contexts: dict[int, Context] = {}  # by client
        self._contexts_after: dict[int, Context | None] = {}  # by the number of a message
        self.counts = Counts()
        self.trained = 0
        """How many training messages were answered."""
        self.batches = 0

    def answers(self, sent: Sequence[Sent], now_s: float) -> list[Answered]:
        """Let nodes answer these messages, which are all of different ones."""
        self.batches += 1
        self.trained += sum(each.letter.trains for each in sent)
        return [
            self._answered(each, reply)
            for each, reply in zip(sent, self._replies(sent, now_s), strict=True)
        ]

    def settle(self, letter: Letter, *, computed: bool) -> None:
        """A node is done with a message. `computed`: it has come to the end of its work for it."""
        context = self._contexts_after.pop(letter.number)
        if computed and context is not None:
            self._contexts[letter.client] = context

    def _replies(self, sent: Sequence[Sent], now_s: float) -> list[Reply]:
        """Where work is counted, so is the first answer of each type of message that succeeds."""
        replies: dict[int, Reply] = {}
        for place, each in enumerate(sent) if isinstance(self._spec.work, CountedWork) else ():
            if not self._counted_in(replies, sent, each.letter.kind):
                [replies[place]] = self._answering.answers([self._call(each, now_s, counts=True)])
        left = [place for place in range(len(sent)) if place not in replies]
        if left:
            calls = [self._call(sent[place], now_s, counts=False) for place in left]
            replies |= zip(left, self._answering.answers(calls), strict=True)
        return [replies[place] for place in range(len(sent))]

    def _counted_in(self, replies: dict[int, Reply], sent: Sequence[Sent], kind: str) -> bool:
        """Return whether an answer to this type of message was counted, before or among these replies."""
        return self.counts.knows(kind) or any(
            sent[place].letter.kind == kind and reply.message is not None and not reply.message.has_error()
            for place, reply in replies.items()
        )

    def _call(self, sent: Sent, now_s: float, *, counts: bool) -> Call:
        return Call(
            message=sent.message,
            context=self._context(sent),
            seed=self._draws.integer(sent.letter.number),
            counts=counts,
            now_s=now_s if self._spec.time == "virtual" else None,
            patience_s=self._spec.patience,
        )

    def _context(self, sent: Sent) -> Context:
        client = sent.letter.client
        if client not in self._contexts:
            run_id, node_id = sent.message.metadata.run_id, sent.message.metadata.dst_node_id
            place: dict[str, Any] = {"partition-id": client, "num-partitions": len(self._samples)}
            self._contexts[client] = Context(run_id, node_id, place, RecordDict(), dict(self._config))
        return self._contexts[client]

    def _answered(self, sent: Sent, reply: Reply) -> Answered:
        letter, message = sent.letter, reply.message
        self._contexts_after[letter.number] = reply.context
        if message is None:
            why = f"no answer after {self._spec.patience:g} real seconds"
            return Answered(Answer(None, 0.0, 0, reason=why, hangs=True), None)
        samples = reply.samples
        spent = took(self._spec.work, letter, reply, samples, self.counts, self._seed)
        answer = Answer(spent.flop, spent.seconds + reply.slept_s, reply.upload_bytes)
        if message.has_error():
            error = message.error
            return Answered(answer._replace(error=error.code, reason=error.reason), message)
        if letter.trains and samples:
            self._samples[letter.client] = samples
        return Answered(answer._replace(samples=samples, loss=reply.loss), message)
