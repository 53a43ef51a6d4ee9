"""OpenAI itself, and Azure OpenAI, whose only differences are the path and the key's header.

https://platform.openai.com/docs/api-reference, Azure per openai-python 3.54 ``lib/azure.py``
(both read 2026-11-22).
"""

from __future__ import annotations

from gateway import OpenAICompatible, ProviderSettings, RegisterProvider, hookimpl


class OpenAI(OpenAICompatible):
    base_url = "https://api.openai.com/v1"
    max_tokens_field = "max_completion_tokens"


class AzureSettings(ProviderSettings):
    """``base_url`` is the resource's endpoint, a target's model is the deployment."""

    base_url: str
    api_version: str = "2025-04-01-preview"


class Azure(OpenAICompatible):
    max_tokens_field = "max_completion_tokens"

    def __init__(self, settings: AzureSettings) -> None:
        super().__init__(settings)
        self.query = f"?api-version={settings.api_version}"

    def auth_headers(self, settings: ProviderSettings) -> tuple[tuple[str, str], ...]:
        if settings.api_key is None:
            return ()
        return (("api-key", settings.api_key.get_secret_value()),)

    def url(self, path: str, model: str) -> str:
        return f"{self.root}/openai/deployments/{model}{path}{self.query}"


@hookimpl
def register_providers(register: RegisterProvider) -> None:
    register("openai", ProviderSettings, OpenAI)
    register("azure", AzureSettings, Azure)
