"""Flower's own code where it waits by the clock or in threads of its own, made to wait for the grid.

Its strategies wait for nodes with `sleep`. Its compatibility layer for apps of the former kind (a
`Strategy` and `NumPyClient`s) asks each client from a thread of a pool, and looks for nodes in one more
thread: here their messages are sent together from the app's own thread, and so in a fixed order.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any, NamedTuple, Self

from flsim.flower.grid import SimulatedGrid
from flsim.from_flower import (
    Message,
    SimpleClientManager,
    legacy_app,
    legacy_nodes,
    legacy_server,
    replaced,
    strategy_utils,
)

_LOOK_S = 5.0  # between two looks at who is there, as Flower has it


@contextmanager
def waiting_for(grid: SimulatedGrid) -> Iterator[None]:
    """Let Flower's own code wait for this grid."""
    in_turn = SimpleNamespace(
        futures=SimpleNamespace(ThreadPoolExecutor=_Together, wait=_wait, Future=Future)
    )
    with ExitStack() as stack:
        for owner, name, value in (
            (strategy_utils, "sleep", grid.sleep),
            (legacy_app, "start_update_client_manager_thread", _without_thread),
            (legacy_server, "concurrent", in_turn),
            (SimpleClientManager, "wait_for", _waiting_in(grid)),
        ):
            stack.enter_context(replaced(owner, name, value))
        yield


def _without_thread(
    grid: SimulatedGrid, client_manager: Any
) -> tuple[threading.Thread, threading.Event, threading.Event]:
    """Let a client manager look for nodes whenever it is asked about them, and at no other time."""
    stopped, ready = threading.Event(), threading.Event()
    stopped.set()
    legacy_nodes._update_client_manager(grid, client_manager, stopped, ready)
    thread = threading.Thread(target=lambda: None)
    thread.start()
    return thread, stopped, ready


def _waiting_in(grid: SimulatedGrid) -> Callable[..., bool]:
    def wait_for(manager: Any, num_clients: int, timeout: float = 86400) -> bool:
        end_s = grid.now() + timeout
        while manager.num_available() < num_clients and grid.now() < end_s:
            grid.sleep(_LOOK_S)
        return bool(manager.num_available() >= num_clients)

    return wait_for


class _Sent(BaseException):
    """What a client proxy was about to send."""

    def __init__(self, messages: list[Message]) -> None:
        super().__init__()
        self.messages = messages


class _Catching:
    """Stands for a proxy's grid: catches what would be sent."""

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        raise _Sent(list(messages))


class _Giving:
    """Stands for a proxy's grid: has the replies already."""

    def __init__(self, replies: list[Message]) -> None:
        self._replies = replies

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        return self._replies


class _Call(NamedTuple):
    """A client that is to be asked, and where the answer is to go."""

    future: "Future[Any]"
    ask: Callable[..., Any]
    proxy: Any
    arguments: tuple[Any, ...]

    def go(self) -> None:
        """Ask, and put down what comes of it. Raises _Sent where the proxy's grid does."""
        try:
            self.future.set_result(self.ask(self.proxy, *self.arguments))
        except Exception as error:
            self.future.set_exception(error)


class _Together:
    """Stands for a pool of threads, each of which asks a client: all are asked at once, by this thread."""

    def __init__(self, max_workers: int | None = None) -> None:
        self._calls: list[_Call] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """There are no threads to end."""

    def submit(self, ask: Callable[..., Any], proxy: Any, *arguments: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        future.pool = self  # type: ignore[attr-defined]
        self._calls.append(_Call(future, ask, proxy, arguments))
        return future

    def run(self) -> "list[Future[Any]]":
        """Ask all clients; return their futures, those that waited for a reply in order of the replies."""
        calls, self._calls = self._calls, []
        done: list[Future[Any]] = []
        waiting: list[_Call] = []
        messages: list[Message] = []
        for call in calls:
            try:
                with replaced(call.proxy, "grid", _Catching()):
                    call.go()  # it sends nothing, or fails before it does
                done.append(call.future)
            except _Sent as caught:
                messages += caught.messages
                waiting.append(call)
        if waiting:
            done += _answered(waiting[0].proxy.grid, messages, waiting)
        return done


def _answered(grid: SimulatedGrid, messages: list[Message], calls: list[_Call]) -> "list[Future[Any]]":
    """Send each call's message, wait for all replies, and let each call go on with its own."""
    replies = grid.send_and_receive(messages)
    by_message = {message.metadata.message_id: call for message, call in zip(messages, calls, strict=True)}
    done = []
    for reply in replies:
        call = by_message[reply.metadata.reply_to_message_id]
        with replaced(call.proxy, "grid", _Giving([reply])):
            call.go()
        done.append(call.future)
    return done


def _wait(
    fs: "Iterable[Future[Any]]", timeout: float | None = None
) -> "tuple[list[Future[Any]], set[Any]]":
    """Stands for `concurrent.futures.wait`: run what was submitted, and return the futures in order."""
    pools = list(dict.fromkeys(future.pool for future in fs))  # type: ignore[attr-defined]
    return [future for pool in pools for future in pool.run()], set()
