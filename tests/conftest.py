"""What every room's tests may ask for, and how all of them are run."""

import gc
from collections.abc import Generator

import pytest
from hypothesis import settings

pytest_plugins = ["tests.databases", "tests.redis_server"]

# How long an example takes is the machine's business, and the first one's to load what it needs.
# The same examples every time: a change that breaks nothing passes. `make fuzz` looks for new ones.
settings.register_profile("daobo", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=500)
settings.load_profile("daobo")

NEVER = 1_000_000


def pytest_collection_finish() -> None:
    """A full collection of garbage among all that thousands of tests have imported takes a second.
    In the middle of a test, every server would be told that its other side said nothing for so
    long: so there are none but those between two modules."""
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, NEVER)
    _collect()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, object, object]:
    done = yield
    if nextitem is None or nextitem.path != item.path:
        _collect()
    return done


def _collect() -> None:
    """What is left stays, and is not searched again."""
    gc.collect()
    gc.freeze()
