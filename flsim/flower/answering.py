"""A ClientApp's answer to one message: the same in flsim's process, in a worker's, and on a Ray cluster."""

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any, NamedTuple, Self

from torch.utils.flop_counter import FlopCounterMode

from flsim.flower.clock import Clock, reading
from flsim.flower.copies import copy_of_context, copy_of_message
from flsim.flower.generators import seed_generators
from flsim.flower.readings import loss_in, samples_in
from flsim.flower.sizes import message_bytes
from flsim.from_flower import ClientApp, Context, Error, ErrorCode, Message, identified, make_message

_AGAIN_S = 1.0  # after which an app that swallows the alarm hears it again


class Call(NamedTuple):
    """A message for a ClientApp, with the node's context. The app is given copies of both.

    `seed`: of Python's, numpy's and torch's generators. `counts`: whether its FLOPs are counted. `now_s`:
    what `time` tells it, if that is virtual. `patience_s`: real seconds after which it is held to hang.
    """

    message: Message
    context: Context
    seed: int
    counts: bool
    now_s: float | None
    patience_s: float


class Reply(NamedTuple):
    """What came of a call. `message`: None if it hangs. `context`: as the app left it; None if it failed.

    `slept_s`: virtual seconds that it waited. `upload_bytes`: the size of the message. `samples`, `loss`:
    what it says of itself; 0 and None if it does not.
    """

    message: Message | None
    context: Context | None
    flop: float | None
    slept_s: float
    upload_bytes: int = 0
    samples: int = 0
    loss: float | None = None

    @classmethod
    def of(cls, message: Message, context: Context | None, flop: float | None, slept_s: float) -> Self:
        """Return an answer, after giving it an id that follows from the message's that it answers.

        One that cannot be sent is an app's that has crashed.
        """
        message.metadata.__dict__["_message_id"] = f"{message.metadata.reply_to_message_id}r"
        try:
            size = message_bytes(message)
        except (TypeError, ValueError, OverflowError) as error:
            why = f"what the ClientApp returned cannot be serialised: {error}"
            message = make_message(message.metadata, error=Error(ErrorCode.CLIENT_APP_CRASHED, why))
            context, size = None, message_bytes(message)
        return cls(message, context, flop, slept_s, size, samples_in(message), loss_in(message))


class _Hangs(BaseException):
    """Raised within a ClientApp that takes too long."""


def answer(app: ClientApp, call: Call) -> Reply:
    """Let the app answer. What it raises, or returns that is no answer, becomes Flower's error.

    The process's generators are seeded, and left as the app leaves them.
    """
    message, given = copy_of_message(call.message), copy_of_context(call.context)
    context: Context | None = given
    slept = [0.0]

    def sleep(seconds: float) -> None:
        slept[0] += seconds

    start_s = call.now_s
    clock = None if start_s is None else Clock(lambda: start_s + slept[0], sleep)
    flop: float | None = None
    seed_generators(call.seed)
    with ExitStack() as stack:
        counter = FlopCounterMode(display=False) if call.counts else None
        metadata = message.metadata
        stack.enter_context(identified(run_id=metadata.run_id, node_id=metadata.dst_node_id))
        try:
            with _patience(call.patience_s), reading(clock):
                if counter is None:
                    reply = app(message, given)
                else:
                    with counter:
                        reply = app(message, given)
            reply = copy_of_message(_checked(reply, message))
        except _Hangs:
            return Reply(None, None, None, slept[0])
        except (Exception, SystemExit) as error:  # as Flower's SuperNode tells of it
            code = ErrorCode.CLIENT_APP_RAISED_EXCEPTION
            reply, context = Message(Error(code, f"{type(error)}:<'{error}'>"), reply_to=message), None
        if counter is not None:
            flop = float(counter.get_total_flops())
    return Reply.of(reply, context, flop, slept[0])


def _checked(reply: Any, message: Message) -> Message:
    """Return an answer as it is; Flower's error in the place of what is no answer to this message."""
    if not isinstance(reply, Message):
        why = f"the ClientApp returned a {type(reply).__name__}, which is no Message"
        return Message(Error(ErrorCode.CLIENT_APP_CRASHED, why), reply_to=message)
    if reply.metadata.reply_to_message_id != message.metadata.message_id:
        why = "the ClientApp returned a Message that is no reply to the one it was sent"
        return Message(Error(ErrorCode.CLIENT_APP_CRASHED, why), reply_to=message)
    return reply


@contextmanager
def _patience(seconds: float) -> Iterator[None]:
    """Raise _Hangs in the block when so many real seconds are over, where signals can be heard."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise _Hangs

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
