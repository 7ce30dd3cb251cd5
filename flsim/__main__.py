"""`python -m flsim SCENARIO.yaml`, and the command `flsim`."""

from typing import NoReturn

from flsim.interpreter import importing, leave


def main() -> NoReturn:
    """Run the command line of this process, and end it."""
    with importing():
        from flsim.cli import exit_code
    leave(exit_code())


if __name__ == "__main__":
    main()
