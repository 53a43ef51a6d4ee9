"""API keys in one small file of the state folder: hashes, never the keys themselves."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import orjson
from pydantic import Field, TypeAdapter, ValidationError

from gateway.errors import ConfigError
from gateway.schema import Caller

FILE_NAME = "keys.json"
LOCK_NAME = ".keys.lock"
ENVIRONMENT_KEY = "key_environment"
ENVIRONMENT_ADMIN_KEY = "key_environment_admin"


@dataclass(frozen=True)
class Key:
    """``digest`` is the SHA-256 of the key's text, in hexadecimal."""

    id: str
    name: str
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    project: str | None = None
    created_at_s: int = 0
    revoked_at_s: int | None = None
    tenant: str | None = None
    season: str | None = None
    episode: str | None = None
    scene: str | None = None
    shot: str | None = None
    admin: bool = False
    """May use the admin API besides."""

    def caller(self, default_project: str | None) -> Caller:
        """Whoever shows this key, with what is said of calls that say nothing themselves."""
        return Caller(
            key_id=self.id,
            project=self.project or default_project,
            tenant=self.tenant,
            season=self.season,
            episode=self.episode,
            scene=self.scene,
            shot=self.shot,
        )


_KEYS = TypeAdapter(dict[str, list[Key]])


class KeyFile:
    """The keys of one state folder. Every change is one atomic replacement of the file."""

    def __init__(self, state: Path) -> None:
        self.path = state / FILE_NAME

    def read(self) -> dict[str, Key]:
        """Keys by id, oldest first. Raises ConfigError for a file that cannot be read."""
        try:
            keys = _KEYS.validate_json(self.path.read_bytes(), strict=True)["keys"]
        except FileNotFoundError:
            return {}
        except ValidationError as error:
            detail = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, detail["loc"])) or "the file"
            raise ConfigError(f"{self.path}: not a key file: {where}: {detail['msg']}") from None
        except (OSError, KeyError) as error:
            raise ConfigError(f"{self.path}: not a key file: {error}") from None
        return {key.id: key for key in keys}

    def create(
        self,
        name: str,
        project: str | None,
        now_s: float,
        *,
        tenant: str | None = None,
        season: str | None = None,
        episode: str | None = None,
        scene: str | None = None,
        shot: str | None = None,
        admin: bool = False,
    ) -> tuple[Key, str]:
        """A new key and its text, which is nowhere else."""
        text = f"sk-daobo-{secrets.token_urlsafe(30)}"
        key = Key(
            id=f"key_{secrets.token_hex(6)}",
            name=name,
            digest=digest_of(text),
            project=project,
            created_at_s=int(now_s),
            tenant=tenant,
            season=season,
            episode=episode,
            scene=scene,
            shot=shot,
            admin=admin,
        )
        with self._changing() as keys:
            keys[key.id] = key
        return key, text

    def revoke(self, key_id: str, now_s: float) -> Key:
        """Raises ConfigError for an id that does not exist. A second time changes nothing."""
        with self._changing() as keys:
            if key_id not in keys:
                raise ConfigError(f"no key has the id {key_id!r}; 'daobo keys list' shows them")
            if keys[key_id].revoked_at_s is None:
                keys[key_id] = replace(keys[key_id], revoked_at_s=int(now_s))
            return keys[key_id]

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Key]]:
        """The keys, written back at the end; two commands at once wait for each other."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with (self.path.parent / LOCK_NAME).open("wb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                keys = self.read()
                yield keys
                self._write(keys)
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot be written: {error}") from None

    def _write(self, keys: Mapping[str, Key]) -> None:
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

    def __init__(
        self,
        file: KeyFile,
        default_project: str | None,
        extra_key: str | None,
        admin_key: str | None = None,
    ) -> None:
        """``extra_key`` is a key's text from the environment, valid beside those of the file;
        ``admin_key`` another, for the admin API alone."""
        self._file = file
        self._default_project = default_project
        self._extra_key = extra_key
        self._admin_key = admin_key
        self._stamp: tuple[int, int, int] | None = None
        self._callers: dict[bytes, Caller] = {}
        self._admins: dict[bytes, Caller] = {}
        self.refresh()

    def find(self, digest: bytes) -> Caller | None:
        return self._callers.get(digest)

    @property
    def ids(self) -> set[str]:
        """Of the keys that may make calls."""
        return {caller.key_id for caller in self._callers.values()}

    def find_admin(self, digest: bytes) -> Caller | None:
        return self._admins.get(digest)

    def refresh(self) -> None:
        """Read the file again if it has changed. Raises ConfigError; the keys stay as they were."""
        try:
            stat = self._file.path.stat()
            stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        except OSError:
            stamp = (0, 0, 0)
        if stamp == self._stamp:
            return
        keys = {
            bytes.fromhex(key.digest): key
            for key in self._file.read().values()
            if key.revoked_at_s is None
        }
        callers = {digest: key.caller(self._default_project) for digest, key in keys.items()}
        admins = {digest: callers[digest] for digest, key in keys.items() if key.admin}
        if self._extra_key:
            digest = bytes.fromhex(digest_of(self._extra_key))
            callers.setdefault(digest, Caller(ENVIRONMENT_KEY, self._default_project))
        if self._admin_key:
            admins[bytes.fromhex(digest_of(self._admin_key))] = Caller(ENVIRONMENT_ADMIN_KEY)
        self._callers, self._admins, self._stamp = callers, admins, stamp
