"""The fifteen checks, by what they look at."""
