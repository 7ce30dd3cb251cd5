"""The errors that flsim raises on purpose.

The command line turns each into one message and an exit code; anything else that escapes is a
defect of flsim.
"""

from collections.abc import Iterable
from difflib import get_close_matches

EXIT_DONE = 0
EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


class FlsimError(Exception):
    """Something that the user can put right. The message says what and how."""


class ScenarioError(FlsimError):
    """The scenario file, or something that it names, cannot be used."""


class RunError(FlsimError):
    """The run itself cannot go on, or its results cannot be written."""


def nearest(word: object, accepted: Iterable[str]) -> str:
    """Return a hint that names the accepted word nearest to `word`, or an empty string.

    >>> nearest("cohrt", ["cohort", "quorum"])
    "; did you mean 'cohort'?"
    >>> nearest("zzz", ["cohort"])
    ''
    """
    matches = get_close_matches(str(word), list(accepted), n=1)
    return f"; did you mean '{matches[0]}'?" if matches else ""
