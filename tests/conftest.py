"""What every room's tests may ask for."""

from hypothesis import settings

pytest_plugins = ["tests.databases", "tests.redis_server"]

# How long an example takes is the machine's business, and the first one's to load what it needs.
settings.register_profile("daobo", deadline=None)
settings.load_profile("daobo")
