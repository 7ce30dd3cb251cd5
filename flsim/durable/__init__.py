"""What a killed run goes on from: the answers of its learner, and checkpoints of what that remembers."""
