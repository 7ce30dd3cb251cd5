"""Commands side by side: in processes of this machine, or on a Ray cluster."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

Command = Sequence[str]
_FORCING = ("FORCE_COLOR", "TTY_COMPATIBLE")
Ended = tuple[int, int, str]  # the number of a command, its exit code, what it said on standard error


def here(commands: Sequence[Command], workers: int | None) -> Iterator[Ended]:
    """Run commands in processes of this machine; yield them as they end.

    `workers`: how many at a time; None: one for each core.
    """
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        futures = {pool.submit(_run, command): number for number, command in enumerate(commands)}
        try:
            for future in as_completed(futures):
                yield futures[future], *future.result()
        except BaseException:
            # ^C went to the runs, too, and each ends in order; the others do not begin.
            pool.shutdown(cancel_futures=True)
            raise


def on_ray(commands: Sequence[Command], address: str, workers: int | None) -> Iterator[Ended]:
    """Run commands as tasks of one core each on a Ray cluster; yield them as they end."""
    from flsim.learn.executors.rays import connect, import_ray

    ray = import_ray()
    is_ours = connect(ray, None if address == "local" else address, workers)
    tasks: dict[Any, int] = {}
    try:
        remote = ray.remote(num_cpus=1, max_retries=3)(_run)
        tasks = {remote.remote(command): number for number, command in enumerate(commands)}
        while tasks:
            (task,), _ = ray.wait(list(tasks))
            number = tasks.pop(task)
            try:
                yield number, *ray.get(task)
            except ray.exceptions.RayError as error:
                yield number, 1, str(error)
    finally:
        for task in tasks:
            ray.cancel(task)
        if is_ours:
            ray.shutdown()


def _run(command: Command) -> tuple[int, str]:
    # What a run says is kept as text: colours that the user forces are for the screen.
    plain = {name: value for name, value in os.environ.items() if name not in _FORCING}
    done = subprocess.run(  # noqa: S603
        command, env=plain, capture_output=True, text=True, errors="replace", check=False
    )
    return done.returncode, done.stderr
