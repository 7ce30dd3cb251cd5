"""Fuzzing of everything that reads what came from outside: `python -m tests.fuzz --inputs 100000`."""
