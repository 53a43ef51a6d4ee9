"""What ``daobo serve`` says when it is ready: where it is, the key, what is live, what to paste."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from .app import Gateway, Listen

MODEL_IN_EXAMPLE = "draft"


def greet(out: Console, gateway: Gateway, listen: Listen, new_key: str | None) -> None:
    """Print it. ``new_key`` is the text of a key that was just made."""
    host = f"[{listen.host}]" if ":" in listen.host else listen.host
    base_url = f"http://{host}:{listen.port}/v1"
    out.print("\n[bold]Daobo 导播[/bold] is on air\n")
    out.print(f"  base URL  [bold]{base_url}[/bold]")
    out.print(f"  API key   {_key_line(gateway, new_key)}", soft_wrap=True)
    out.print(f"  metrics   http://{listen.admin_host}:{listen.admin_port}/metrics\n")
    out.print(route_table(gateway))
    if gateway.rooms.loaded.dormant:
        waits = {dormant.waits_for for dormant in gateway.rooms.loaded.dormant.values()}
        out.print(f"[dim]More comes alive with {', '.join(sorted(waits))}.[/dim]")
    out.print(_example(base_url, new_key or "$DAOBO_KEY", _example_model(gateway)), soft_wrap=True)


def route_table(gateway: Gateway) -> Table:
    """Every name that can be asked for, with the target that it resolves to first."""
    table = Table("name", "resolves to", "then", box=None, pad_edge=False, padding=(0, 2))
    for name, entry in gateway.rooms.serving.listing.items():
        details = entry["daobo"]
        if details["kind"] == "auto":
            continue
        live = [step["target"] for step in details["ladder"] if step["live"]]
        kind = "bold" if details["kind"] == "task" else ""
        table.add_row(
            f"[{kind}]{name}[/{kind}]" if kind else name,
            live[0] if live else "[red]nothing is live[/red]",
            ", ".join(live[1:]),
        )
    return table


def _key_line(gateway: Gateway, new_key: str | None) -> str:
    if new_key:
        return f"[bold]{new_key}[/bold]  (shown once; its hash is in {gateway.key_file.path})"
    if gateway.options.environ.get("DAOBO_KEY"):
        return "the one in DAOBO_KEY"
    return "as made before; 'daobo keys create NAME' makes another"


def _example_model(gateway: Gateway) -> str:
    listing = gateway.rooms.serving.listing
    return MODEL_IN_EXAMPLE if MODEL_IN_EXAMPLE in listing else next(iter(listing))


def _example(base_url: str, key: str, model: str) -> str:
    return f"""
[dim]# try it[/dim]
curl {base_url}/chat/completions -H "Authorization: Bearer {key}" \\
  -H "Content-Type: application/json" \\
  -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "写一个短剧开场"}}]}}'

[dim]# or from Python[/dim]
from openai import OpenAI
client = OpenAI(base_url="{base_url}", api_key="{key}")
for chunk in client.chat.completions.create(
    model="{model}", stream=True,
    messages=\\[{{"role": "user", "content": "写一个短剧开场"}}],
):
    print(chunk.choices[0].delta.content or "", end="", flush=True)
"""
