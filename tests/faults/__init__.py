"""Faults, put into a run by context managers, and what becomes of the run."""
