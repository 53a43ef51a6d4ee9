"""Rehearsal: a provider that brings its own upstream along, for work without key or network.

It writes scenes, shot lists, notes and JSON in the prompt's language, calls tools, streams, counts
and embeds; the same request gets the same answer. It can be told to be slow, to fail, to cut
streams, to rate-limit and to refuse, which makes it the offline twin to build and test against.
"""

from __future__ import annotations

from gateway import OpenAICompatible, RegisterProvider, Upstream, hookimpl

from .settings import Settings
from .upstream import InProcessUpstream


class Rehearsal(OpenAICompatible):
    """Translates like any OpenAI-shaped provider; only the other end is inside the process."""

    base_url = "rehearsal://in-process/v1"
    settings: Settings

    def open_upstream(self) -> Upstream:
        return InProcessUpstream(self.settings)


@hookimpl
def register_providers(register: RegisterProvider) -> None:
    register("rehearsal", Settings, Rehearsal)
