"""Which words may become labels: configured names, and the first projects that come.

Whatever else a client sends is counted as ``other``, so no client can add a series.
"""

from __future__ import annotations

from collections.abc import Collection, Container

from .redaction import redact_word

OTHER = "other"
ENDPOINTS = ("chat", "embeddings")
"""Those that are served; they are ``gen_ai.operation.name`` too."""
MAX_PROJECTS = 200
"""Projects that are told apart; nobody configures them, so the first ones have a name."""


class Names:
    """The names of the running configuration. Projects stay known when it changes."""

    def __init__(self) -> None:
        self._projects: dict[str, str] = {}
        self.set_known((), (), (), ENDPOINTS, ())

    def set_known(
        self,
        tasks: Collection[str],
        models: Collection[str],
        providers: Collection[str],
        endpoints: Collection[str],
        currencies: Collection[str],
    ) -> None:
        self._tasks = frozenset(tasks)
        self._models = frozenset({"", *models})
        self._no_models = frozenset({"auto", *tasks})
        self._providers = frozenset({"", *providers})
        self._endpoints = frozenset(endpoints)
        self._currencies = frozenset(currencies)

    def task(self, name: str | None) -> str | None:
        return name if name is None else _known(name, self._tasks)

    def model(self, name: str) -> str:
        """A client that names a task, or leaves the choice to the gateway, has named no model."""
        if name not in self._models and name in self._no_models:
            return ""
        return _known(name, self._models)

    def provider(self, name: str) -> str:
        return _known(name, self._providers)

    def endpoint(self, name: str) -> str:
        return _known(name, self._endpoints)

    def currency(self, name: str) -> str:
        return _known(name, self._currencies)

    def project(self, name: str | None) -> str:
        """Empty where nobody said; ``other`` from the 201st on."""
        if not name:
            return ""
        known = self._projects.get(name)
        if known is None:
            if len(self._projects) >= MAX_PROJECTS:
                return OTHER
            known = self._projects[name] = redact_word(name) or ""
        return known


def _known(name: str, names: Container[str]) -> str:
    return name if name in names else OTHER
