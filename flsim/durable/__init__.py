"""What makes a run that was killed go on: the answers of its learner, and checkpoints of what that remembers."""
