"""What an answer says of itself among its metrics: how many examples it is of, and its loss."""

from collections.abc import Iterator

from flsim.from_flower import Message

_MOST = 2**53  # beyond, a float is no count


def _numbers_in(message: Message) -> Iterator[tuple[str, float]]:
    """Yield the numbers among an answer's metrics, and their names."""
    for record in message.content.metric_records.values() if message.has_content() else ():
        for name, value in record.items():
            if isinstance(value, int | float):
                yield name, value


def samples_in(message: Message) -> int:
    """Return how many examples an answer says it is of; 0 if it does not say, or says what is no count."""
    names = ("num-examples", "num_examples")
    said = next((value for name, value in _numbers_in(message) if name in names), 0)
    return int(said) if 0 <= said < _MOST else 0


def loss_in(message: Message) -> float | None:
    """Return the first loss among an answer's metrics."""
    return next((float(value) for name, value in _numbers_in(message) if "loss" in name), None)
