"""Four hooks: how a plugin hands its objects over. All are called once, at start-up.

No hook is called while a request is in flight; pluggy is synchronous and the hot path uses
plain dictionaries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pluggy

from .contracts import RegisterObserver, RegisterProvider, RegisterStrategy

if TYPE_CHECKING:
    from .config import GatewayConfig

hookspec = pluggy.HookspecMarker("gateway")
hookimpl = pluggy.HookimplMarker("gateway")


@hookspec
def register_providers(register: RegisterProvider) -> None:
    """``register(name, Settings, Provider)``: before the configuration's ``providers:`` is read."""


@hookspec
def register_strategies(register: RegisterStrategy) -> None:
    """``register(name, strategy)``: a strategy orders targets, fallback is the rest of the list."""


@hookspec
def register_observers(register: RegisterObserver) -> None:
    """``register(observer)``: an observer is a function of one CallRecord."""


@hookspec
def configure_app(app: Any, config: GatewayConfig) -> None:
    """Append to the aiohttp application's ``cleanup_ctx``, ``middlewares`` or routes."""
