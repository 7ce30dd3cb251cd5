"""The clients in a trace: a process for each device class, and a track or two for each client."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flsim.observe.trace_events import (
    CLIENTS,
    FIRST_AWAY_THREAD,
    FIRST_CLIENT_THREAD,
    Event,
    Track,
    microseconds,
    named,
    span,
)


class ClientTracks:
    """Where each client is drawn. Its absences have a track of their own: a task can pause in one.

    clients: the run's table. A client that is not in it, as in a run that was killed, is of no class.
    """

    def __init__(self, clients: pa.Table) -> None:
        names = clients["device_class"].to_pylist()
        self._names = list(dict.fromkeys(names))
        numbers = {name: number for number, name in enumerate(self._names)}
        self._class_of = [numbers[name] for name in names]

    def work(self, client: int) -> Track:
        """Return the track of a client's tasks."""
        return Track(self._process(client), client + FIRST_CLIENT_THREAD)

    def away(self, client: int) -> Track:
        """Return the track of a client's absences."""
        return Track(self._process(client), client + FIRST_AWAY_THREAD)

    def names(self, shown: NDArray[np.int64], away: frozenset[int], first_place: int) -> Iterator[Event]:
        """Yield the names and the order of the processes and tracks of these clients.

        shown: their ids, ascending; away: those that have absences; first_place: of the processes.
        """
        width = len(str(shown.max(initial=0)))
        by_process: dict[int, list[int]] = {}
        for client in shown.tolist():
            by_process.setdefault(self._process(client), []).append(client)
        for process, clients in sorted(by_process.items()):
            number = process - CLIENTS
            known = number < len(self._names)
            title = f"clients: {self._names[number]}" if known else "clients"
            yield from named("process", title, self.work(clients[0]), first_place + number)
            for client in clients:
                name = f"client {client:0{width}}"
                yield from named("thread", name, self.work(client), 2 * client)
                if client in away:
                    yield from named("thread", f"{name} away", self.away(client), 2 * client + 1)

    def away_events(self, absences: pa.Table, end_s: float) -> Iterator[Event]:
        """Yield a span for each absence. end_s: when the run ended, as those do that had not ended."""
        for client, from_s, until_s in zip(
            *(column.to_pylist() for column in absences.columns), strict=True
        ):
            start = microseconds(from_s)
            end = microseconds(max(from_s, end_s) if until_s is None else until_s)
            facts: Event = {"client": client, "until the end": until_s is None}
            yield span("away", "away", self.away(client), start, end, facts)

    def _process(self, client: int) -> int:
        known = client < len(self._class_of)
        return CLIENTS + (self._class_of[client] if known else len(self._names))
