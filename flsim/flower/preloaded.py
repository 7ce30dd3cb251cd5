"""What the fork server imports for workers that run ClientApps.

It looks for no garbage among all that, and does not free it at its end, which takes a second. What cannot
be imported is left to the process that needs it, and says so.
"""

import atexit
import gc
import os
from contextlib import suppress
from importlib import import_module

from flsim.children import FOR_SERVER

if FOR_SERVER in os.environ:
    gc.disable()  # a worker enables it
    atexit.register(os._exit, 0)

_FIRST_STEP = "torch._dynamo"  # which torch's optimizers import, half a second, for their first step

for _name in (_FIRST_STEP, "flsim.flower.worker", *os.environ.get(FOR_SERVER, "").split()):
    with suppress(Exception):
        import_module(_name)
