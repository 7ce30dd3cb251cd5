"""The server process: asks the strategy, sends tasks out, takes updates in, makes versions."""

import math
from collections.abc import Generator

from simpy import Event

from flsim.errors import RunError
from flsim.policy.view import Aggregate, Arrival, Discard, Dispatch, Wait
from flsim.records import Outcome
from flsim.scenario import Scenario
from flsim.sim.budget import privacy_budget
from flsim.sim.clock import Signal, call_at
from flsim.sim.dispatcher import Dispatcher
from flsim.sim.flight import Flight
from flsim.sim.selecting import Selecting
from flsim.sim.stopping import Ending
from flsim.sim.surroundings import Moment, Surroundings
from flsim.sim.versions import Versions
from flsim.sim.view import ServerView
from flsim.tasks import Task

_PAUSE = Wait()  # what the server does while it is down

_WAKES_PER_LOOK = 64  # a look costs little, but a wake costs next to nothing


class Server(Dispatcher):
    """Owns the inbox and the versions."""

    def __init__(self, scenario: Scenario, surroundings: Surroundings) -> None:
        super().__init__(scenario, surroundings)
        self._ask = scenario.strategy.decide  # a section's members are slow to look up
        self._reads_tests = scenario.stop.reads_tests
        self._idle = surroundings.fleet.idle
        self._history = surroundings.history
        self._inbox: list[Arrival] = []
        self._landed: dict[int, Flight] = {}  # by task: the flights of the inbox
        self._versions = Versions(surroundings.learner, surroundings.journal, scenario.evaluation.every)
        self._waits_for_clients = False
        self._timer_s: float | None = None
        self._wakes = 0
        self._version_seen = -1
        self.last_dispatch_s = 0.0
        self.last_dispatch_version = -1
        self._budget = privacy_budget(scenario, surroundings.costs)
        known, edge = surroundings.known, surroundings.edge
        selecting = Selecting(scenario, self._idle, self._flights, known, self._history, edge)
        state = (self._idle, self._flights, self._inbox, known)
        rounds = scenario.selection.draws_rounds
        self._view = ServerView(self._env, self, *state, selecting, rounds)

    @property
    def epsilon(self) -> float | None:
        return None if self._budget is None else self._budget.epsilon

    # The process

    def run(self) -> Generator[Event, None, Ending]:
        """Decide until the run is over; return why it is."""
        self._schedule()
        self._read_client_tests()
        while not isinstance(decision := self._decide(), Ending):
            yield self._wait(decision)
        self._close()
        return decision

    def _decide(self) -> Wait | Ending:
        """Do what the strategy decides until it waits, or the run is over."""
        now, stopping, view = self._env.now, self._stopping, self._view
        ending = self._ending()
        while ending is None:
            time_is_up = stopping.decides(now)
            decision = _PAUSE if self.back is not None else self._ask(view)
            if isinstance(decision, Aggregate):
                ending = self._aggregate(decision) or self._ending()
            elif time_is_up is not None:
                ending = time_is_up
            elif isinstance(decision, Wait):
                if self._flights or self._something_comes(decision):
                    return decision
                ending = stopping.nothing_to_come(len(self._idle), decision.for_clients)
            elif isinstance(decision, Dispatch):
                ending = self._dispatch(decision.clients)
            elif isinstance(decision, Discard):
                self._discard(decision.tasks)
            else:
                raise RunError(f"{self._strategy_name()} decided {decision!r}, which is no decision")
        return ending

    def _ending(self) -> Ending | None:
        """Return why the run is over, if it is. Now and then, show it to whoever watches."""
        self._wakes += 1
        accuracy = self._versions.last_accuracy
        if self._reads_tests:  # or else it need not wait for the test of the current version
            row = self._versions.tested()
            accuracy = row.accuracy
            self._stopping.tested(row)
        if self._wakes % _WAKES_PER_LOOK == 0 or self.version != self._version_seen:
            self._version_seen = self.version
            in_flight = len(self._flights)
            moment = Moment(self._env.now, self.version, accuracy, self._tasks_ended, in_flight)
            if not self._around.watch(moment):
                return Ending("interrupted", "the run was interrupted")
        return self._stopping.ending(self.version, accuracy)

    def _something_comes(self, decision: Wait) -> bool:
        """Return whether there is something that can end this wait, though no task is under way."""
        if decision.until_s is not None or self.back is not None:
            return True
        return decision.for_clients and self._around.presence.next_change() < math.inf

    def _wait(self, decision: Wait) -> Signal:
        self._signal = Signal(self._env)
        self._waits_for_clients = decision.for_clients
        if decision.until_s is not None and decision.until_s != self._timer_s:
            if not decision.until_s < math.inf:
                raise RunError(
                    f"{self._strategy_name()} waits until {decision.until_s} s, which never comes"
                )
            self._timer_s = decision.until_s
            call_at(self._env, decision.until_s, self._timer_over, self.turn)
        return self._signal

    def _timer_over(self, _: Event) -> None:
        self._timer_s = None
        self._stopping.timer_over()
        self.wake()

    # Sending out

    def _dispatch(self, clients: tuple[int, ...]) -> Ending | None:
        """Send tasks out, or return why there must be none."""
        if self._budget is not None and (ending := self._budget.ask(clients)) is not None:
            return ending
        self.last_dispatch_s = self._env.now
        self.last_dispatch_version = self.version
        for client in clients:
            self._send_task(client)
        if self._history is not None:
            self._history.asked(clients)
        self._stopping.dispatched(len(self._flights))
        return None

    def _send_task(self, client: int) -> None:
        around = self._around
        try:
            ordinal = around.fleet.occupy(client)
        except KeyError:
            why = f"{self._strategy_name()} asks client {client}, which is not idle"
            raise RunError(why) from None
        task_id, now = next(around.task_ids), self._env.now
        task = Task(task_id, client, ordinal, self.version, now, around.costs.load(now).samples[client])
        around.learner.submit(task)
        flight = around.fly(task, around.compute.seconds(client, ordinal, now), self._course)
        self._flights[client] = flight
        if self._failures.possible:
            self._schedule_failures(flight)

    # Coming back

    def arrived(self, flight: Flight) -> None:
        task, now, inbox = flight.task, self._env.now, self._inbox
        del self._flights[task.client]
        self._landed[task.id] = flight
        position = len(inbox)
        while position and inbox[position - 1].arrived_s == now and inbox[position - 1].task.id > task.id:
            position -= 1
        inbox.insert(position, Arrival(task, now))
        self._around.fleet.release(task.client)
        if self._history is not None:
            self._history.took(task.client, now - task.dispatched_s)
        self._stopping.arrived()
        self.wake()

    def _client_came(self, client: int) -> None:
        if self._waits_for_clients:
            self._stopping.client_came()
            self.wake()

    def _end(self, flight: Flight, outcome: Outcome) -> None:
        """Write the row of a task that will not be aggregated."""
        if self._course.holders is not None and flight.download_end_s is None:
            self._around.learner.not_received(flight.task)
        self._around.learner.forget(flight.task, computed=flight.train_end_s is not None)
        self._around.journal.task(flight.record(outcome, energy_j=self._around.energy.joules(flight)))
        self._tasks_ended += 1

    # Server updates

    def _aggregate(self, decision: Aggregate) -> Ending | None:
        """Make the next version, or return why there must be none."""
        if not (decision.tasks or self._view.draws_rounds) or len(decision.tasks) != len(decision.weights):
            raise RunError(f"{self._strategy_name()} must give each aggregated task one weight")
        if not all(map(math.isfinite, decision.weights)):
            raise RunError(f"{self._strategy_name()} gives weights that are not finite numbers")
        if not 0 <= decision.group < self._scenario.strategy.groups:
            raise RunError(f"{self._strategy_name()} has no group {decision.group}: see Strategy.groups")
        if self._budget is not None:
            decision = self._budget.weighed(decision)
            if (ending := self._budget.spend(decision)) is not None:
                return ending
        flights = [self._take_from_inbox(task) for task in decision.tasks]
        result = self._around.learner.aggregate(
            decision.tasks, decision.weights, decision.anchor, decision.group
        )
        base, energy, reports = self.version, self._around.energy, self._around.reports
        staleness = [base - task.base_version for task in decision.tasks]
        reports.updated(flights, base + 1, result)
        self._versions.add(self._env.now, staleness, result, self.epsilon)
        self.version = self._versions.current
        self._read_client_tests()
        write, losses, refused = self._around.journal.task, result.train_losses, result.rejected
        counted = result.weights
        aggregated, rejected = Outcome.AGGREGATED, Outcome.REJECTED
        for flight, stale, weight in zip(flights, staleness, decision.weights, strict=True):
            task_id = flight.task.id
            passed = task_id not in refused
            write(
                flight.record(
                    aggregated if passed else rejected,
                    aggregated_version=base + 1,
                    staleness=stale,
                    weight=counted.get(task_id, weight),
                    train_loss=losses.get(task_id),
                    energy_j=energy.joules(flight),
                    trust=result.trust.get(task_id),
                )
            )
        self._tasks_ended += len(flights)
        self._discard(decision.discard)
        self._stopping.updated(reports.converged)
        return None

    def _read_client_tests(self) -> None:
        """Take in the clients' own tests of the current version, if somebody looks at them."""
        if self._history is not None and self._history.keeps_tests:
            results = self._around.learner.client_tests()
            if results is not None:
                self._history.tested(results)

    def _discard(self, tasks: tuple[Task, ...]) -> None:
        for task in tasks:
            flight = self._flights.get(task.client)
            if flight is not None and flight.task.id == task.id:
                if self._history is not None:
                    self._history.took(task.client, self._env.now - task.dispatched_s)
                self._call_off(flight, Outcome.DISCARDED)
            else:
                self._end(self._take_from_inbox(task), Outcome.DISCARDED)
            self._stopping.discarded()
        self._forget_arrivals()

    def _take_from_inbox(self, task: Task) -> Flight:
        flight = self._landed.pop(task.id, None)
        if flight is None:
            raise RunError(f"{self._strategy_name()} uses task {task.id}, which is not in the inbox")
        return flight

    def _forget_arrivals(self) -> None:
        """Drop from the inbox what has been taken out of `_landed`."""
        if not self._landed:
            self._inbox.clear()
        elif len(self._inbox) > len(self._landed):
            self._inbox[:] = [arrival for arrival in self._inbox if arrival.task.id in self._landed]

    def _close(self) -> None:
        """The run is over: every task that is still open ends as unfinished."""
        self._end_all(Outcome.UNFINISHED)
        self._versions.close()

    def _end_all(self, outcome: Outcome) -> None:
        """End every open task."""
        for flight in list(self._flights.values()):
            self._call_off(flight, outcome)
        self._end_arrivals(outcome)

    def _end_arrivals(self, outcome: Outcome) -> None:
        for arrival in self._inbox:
            self._end(self._landed.pop(arrival.task.id), outcome)
        self._inbox.clear()

    def _strategy_name(self) -> str:
        return f"strategy {self._scenario.strategy.kind}:"
