"""Flower's Grid on the simulated world."""

from collections.abc import Iterable
from typing import Protocol

from flsim.from_flower import SUPERLINK_NODE_ID, Grid, Message, NodeInfo, RecordDict, Run
from flsim.messages import Pause

_LOOKS = 8  # at who is there, with nothing done in between: a ServerApp that waits for nodes
_EMPTY_PULLS = 1000  # at one instant of virtual time: a ServerApp that polls without pausing


class Post(Protocol):
    """What the grid needs of whoever keeps the messages."""

    def now(self) -> float:
        """Virtual seconds since the run began."""

    def node_ids(self) -> list[int]:
        """Return the nodes that are held to be there, in order."""

    def push(self, messages: Iterable[Message]) -> list[str]:
        """Send messages; return their ids."""

    def pull(self, message_ids: Iterable[str]) -> list[Message]:
        """Return the replies to these messages that are there, once, in order of arrival."""

    def wait(self, pause: Pause) -> None:
        """Let virtual time pass until there is something new, or the pause is over."""


class SimulatedGrid(Grid):
    """The interface that a ServerApp sees. Only calls that wait let virtual time pass.

    `sleeps`: whether the app's own pauses are virtual. If they are not, a pull that finds nothing waits for
    what happens next, since the app's pause between two pulls does not make it happen.
    """

    def __init__(self, post: Post, run: Run, *, sleeps: bool) -> None:
        self._post = post
        self._run = run
        self._sleeps = sleeps
        self._looks = 0
        self._empty_pulls = 0
        self._pulled_at_s = -1.0

    def set_run(self, run: Run) -> None:
        """Set the run. There is only one."""
        if not isinstance(run, Run):
            raise TypeError(f"`run` must be an instance of Run, got {type(run).__name__}")
        self._run = run

    @property
    def run(self) -> Run:
        return Run(**vars(self._run))

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> list[int]:
        """Return who is there. An app that looks again and again waits: so a second passes."""
        self._looks += 1
        if self._looks > _LOOKS and not self._sleeps:
            self._post.wait(Pause(self._post.now() + 1.0))
        return self._post.node_ids()

    def get_nodes(self) -> list[NodeInfo]:
        return [NodeInfo(node_id=node_id) for node_id in self.get_node_ids()]

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Send messages. Raises ValueError for what is no message to a node, as Flower's grids do."""
        self._looks = 0
        given = list(messages)
        for message in given:
            metadata = message.metadata
            if metadata.reply_to_message_id != "" or metadata.ttl <= 0 or metadata.delivered_at != "":
                raise ValueError(f"Invalid message: {message}")
            if metadata.src_node_id != SUPERLINK_NODE_ID:
                raise ValueError(f"Invalid message: {message}")
        return self._post.push(given)

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Return the replies that are there. See the class for what a pull that finds nothing does."""
        self._looks = 0
        wanted = list(message_ids)
        if (replies := self._post.pull(wanted)) or not wanted:
            self._empty_pulls = 0
            return replies
        now = self._post.now()
        self._empty_pulls = self._empty_pulls + 1 if now == self._pulled_at_s else 1
        self._pulled_at_s = now
        if self._sleeps and self._empty_pulls < _EMPTY_PULLS:
            return []
        self._post.wait(Pause(None))
        return self._post.pull(wanted)

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        """Send messages, and wait until each has its reply or the timeout is over, in virtual seconds."""
        end_s = None if timeout is None else self._post.now() + timeout
        left = set(self.push_messages(messages))
        replies: list[Message] = []
        while left:
            found = self._post.pull(left)
            replies += found
            left.difference_update(message.metadata.reply_to_message_id for message in found)
            if not left or (end_s is not None and self._post.now() >= end_s):
                break
            self._post.wait(Pause(end_s))
        return replies

    def now(self) -> float:
        """Virtual seconds since the run began."""
        return self._post.now()

    def sleep(self, seconds: float) -> None:
        """Let so many virtual seconds pass, whatever happens in them."""
        end_s = self._post.now() + seconds
        while self._post.now() < end_s:
            self._post.wait(Pause(end_s))
