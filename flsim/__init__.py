"""A discrete-event simulator for federated learning."""
