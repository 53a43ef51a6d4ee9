"""What every room's tests may ask for, and how all of them are run."""

import gc

from hypothesis import settings

pytest_plugins = ["tests.databases", "tests.redis_server"]

# How long an example takes is the machine's business, and the first one's to load what it needs.
# The same examples every time: a change that breaks nothing passes. `make fuzz` looks for new ones.
settings.register_profile("daobo", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=500)
settings.load_profile("daobo")


def pytest_collection_finish() -> None:
    """Thousands of tests and all that they import stay: searching them for garbage again and again
    would stop the clock of whatever test it happens in."""
    gc.collect()
    gc.freeze()
