"""Trackers: TensorBoard, MLflow, Weights & Biases and a CSV file, as folds over the records."""

from flsim.observe.trackers.tracking import Position, Tracking, track, trackers_of
from flsim.observe.trackers.writer import Finished, Point, Told, Writer, told_of

__all__ = ["Finished", "Point", "Position", "Told", "Tracking", "Writer", "told_of", "track", "trackers_of"]
