"""Daobo's vocabulary for plugin authors: everything a plugin may import is here.

A plugin is one module that implements some of the four hooks, see ``plugins/README.md``. The words
stand in ``gateway/vocabulary.py``, which is read when the first of them is asked for: what needs
none of them, such as ``daobo --help``, starts without it and pydantic.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .vocabulary import *  # noqa: F403
else:

    def __getattr__(name: str) -> object:
        vocabulary = import_module(".vocabulary", __name__)
        if name == "__all__" or name in vocabulary.__all__:
            return getattr(vocabulary, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *import_module(".vocabulary", __name__).__all__})
