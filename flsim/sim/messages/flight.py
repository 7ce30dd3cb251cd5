"""The flight of a message: of a size of its own, there and back."""

import math

from simpy import Event

from flsim.messages import Answer, Letter
from flsim.sim.flight import Course, Flight
from flsim.sim.network import DOWN, UP, Transfer
from flsim.tasks import Task


class MessageFlight(Flight):
    """A message on its way to a client, and its answer on the way back."""

    def __init__(
        self, task: Task, compute_s: float, course: Course, letter: Letter, answer: Answer
    ) -> None:
        self.letter = letter
        self.answer = answer
        super().__init__(task, compute_s, course)

    def uncontended_s(self) -> float:
        network = self._course.network
        down = network.uncontended_s(DOWN, self.task, self.letter.download_bytes)
        up = network.uncontended_s(UP, self.task, self.answer.upload_bytes)
        return down + (0.0 if math.isinf(self.compute_s) else self.compute_s) + up

    def _start_transfer(self) -> Transfer:
        down = self._direction is DOWN
        size_bytes = self.letter.download_bytes if down else self.answer.upload_bytes
        self._transfer = transfer = self._course.network.start(self._direction, self.task, size_bytes)
        return transfer

    def _delivered(self) -> None:
        super()._delivered()
        if self._direction is UP and self.train_end_s is None and self.answer.hangs:
            self._waits_for = Event(self.env)  # for ever, or until it is halted
