"""Looking at a run while it goes on, and ending it when somebody asks for that."""

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console

from flsim.scenario import Scenario
from flsim.sim.surroundings import Moment
from flsim.terminal.display import Display, Progressed, display_on
from flsim.units import TIME

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Watcher:
    """Shows how far a run has come, and ends it when the user asks for that.

    The first interrupt lets the run end in order, the second one ends it at once. `display`: where it is
    shown; by default what suits the console.
    """

    def __init__(
        self, scenario: Scenario, console: Console, quiet: bool, display: Display | None = None
    ) -> None:
        self._stop = scenario.stop
        self._interrupted = False
        self._started_s: float | None = None
        self._shown_s = 0.0
        self._display = display_on(console, scenario.name, quiet) if display is None else display

    def __call__(self, moment: Moment) -> bool:
        """Take the run's latest moment; return whether it may go on."""
        now = time.monotonic()
        if self._started_s is None:
            self._started_s = self._shown_s = now
        if now - self._shown_s >= self._display.every_s:
            self._shown_s = now
            self._display.show(self._progressed(moment, now - self._started_s))
        return not self._interrupted

    @contextmanager
    def watching(self, signals: Sequence[signal.Signals] = _SIGNALS) -> Iterator["Watcher"]:
        """Take over interrupts and the display for the length of the run."""
        before = {number: signal.getsignal(number) for number in signals}
        for number in before:
            signal.signal(number, self._interrupt)
        try:
            with self._display:
                yield self
        except Exception as error:
            if self._interrupted and self._started_s is None:
                raise KeyboardInterrupt from error  # a library that was loading made it an error
            raise
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _interrupt(self, *_: Any) -> None:
        at_once = self._started_s is None or self._interrupted
        self._interrupted = True
        if at_once:
            raise KeyboardInterrupt

    def _progressed(self, moment: Moment, elapsed_s: float) -> Progressed:
        return Progressed(
            self._share_done(moment),
            TIME.format(moment.now_s),
            moment.version,
            "" if moment.accuracy is None else f"accuracy {moment.accuracy:.3f}",
            f"{moment.tasks_ended / elapsed_s:,.0f} tasks/s",
        )

    def _share_done(self, moment: Moment) -> float:
        shares = [0.0]
        if self._stop.updates is not None:
            shares.append(moment.version / self._stop.updates)
        if self._stop.time is not None:
            shares.append(moment.now_s / self._stop.time)
        return min(1.0, max(shares))
