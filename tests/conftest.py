"""What all tests share: property tests draw the same examples on every machine."""

from hypothesis import settings

settings.register_profile("default", deadline=None, derandomize=True, print_blob=True)
settings.register_profile("search", deadline=None, derandomize=False, print_blob=True, max_examples=2000)
settings.load_profile("default")
