"""What the fork server imports for workers that run ClientApps. It looks for no garbage among all that."""

import gc

gc.disable()  # a worker enables it


import flsim.flower.worker  # noqa: E402, F401
