"""`python -m flsim SCENARIO.yaml`."""

from flsim.cli import main

if __name__ == "__main__":
    main()
