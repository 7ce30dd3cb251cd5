"""What the fork server imports for workers that run ClientApps.

It looks for no garbage among all that, and does not free it at its end, which takes a second.
"""

import atexit
import gc
import os

from flsim.children import IN_SERVER

if IN_SERVER in os.environ:
    gc.disable()  # a worker enables it
    atexit.register(os._exit, 0)

import torch._dynamo  # noqa: F401 - torch's optimizers import it, half a second, for their first step

import flsim.flower.worker  # noqa: F401
