"""What flsim's learning engine is measured against, each in a process of its own.

Nothing here imports flsim, because the frameworks live in a virtual environment without it; what flsim
itself does in the comparison is in benchmarks/engine_run.py.
"""
