"""API keys in one small file of the state folder: hashes, never the keys themselves."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import orjson

from gateway.errors import ConfigError
from gateway.schema import Caller

FILE_NAME = "keys.json"


@dataclass(frozen=True)
class Key:
    """``digest`` is the SHA-256 of the key's text, in hexadecimal."""

    id: str
    name: str
    digest: str
    project: str | None = None
    created_at_s: int = 0
    revoked_at_s: int | None = None


class KeyFile:
    """The keys of one state folder. Every change is one atomic replacement of the file."""

    def __init__(self, state: Path) -> None:
        self.path = state / FILE_NAME

    def read(self) -> dict[str, Key]:
        """Keys by id, oldest first. Raises ConfigError for a file that cannot be read."""
        try:
            raw = orjson.loads(self.path.read_bytes())
            return {entry["id"]: Key(**entry) for entry in raw["keys"]}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ConfigError(f"{self.path}: not a key file: {error}") from None

    def create(self, name: str, project: str | None, now_s: float) -> tuple[Key, str]:
        """A new key and its text, which is nowhere else."""
        text = f"sk-daobo-{secrets.token_urlsafe(30)}"
        key = Key(f"key_{secrets.token_hex(6)}", name, digest_of(text), project, int(now_s))
        self._write({**self.read(), key.id: key})
        return key, text

    def revoke(self, key_id: str, now_s: float) -> Key:
        """Raises ConfigError for an id that does not exist."""
        keys = self.read()
        if key_id not in keys:
            raise ConfigError(f"no key has the id {key_id!r}; 'daobo keys list' shows them")
        keys[key_id] = replace(keys[key_id], revoked_at_s=int(now_s))
        self._write(keys)
        return keys[key_id]

    def _write(self, keys: Mapping[str, Key]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_name(f".{FILE_NAME}.{os.getpid()}")
        content = orjson.dumps(
            {"keys": [asdict(key) for key in keys.values()]}, option=orjson.OPT_INDENT_2
        )
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path)


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class KeyRing:
    """The valid keys in memory; ``refresh`` follows the file."""

    def __init__(self, file: KeyFile, default_project: str | None, extra_key: str | None) -> None:
        """``extra_key`` is a key's text from the environment, valid beside those of the file."""
        self._file = file
        self._default_project = default_project
        self._extra_key = extra_key
        self._read_at: tuple[int, int] | None = None
        self._callers: dict[bytes, Caller] = {}
        self.refresh()

    def find(self, digest: bytes) -> Caller | None:
        return self._callers.get(digest)

    def refresh(self) -> None:
        """Read the file again if it has changed."""
        try:
            stat = self._file.path.stat()
            version = (stat.st_mtime_ns, stat.st_size)
        except FileNotFoundError:
            version = (0, 0)
        if version == self._read_at:
            return
        keys = [key for key in self._file.read().values() if key.revoked_at_s is None]
        callers = {
            bytes.fromhex(key.digest): Caller(key.id, key.project or self._default_project)
            for key in keys
        }
        if self._extra_key:
            digest = bytes.fromhex(digest_of(self._extra_key))
            callers.setdefault(digest, Caller("key_environment", self._default_project))
        self._callers, self._read_at = callers, version
