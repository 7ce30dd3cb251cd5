"""Flower apps in virtual time: a ServerApp that asks the fleet's ClientApps over the simulated network."""
