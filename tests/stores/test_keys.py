"""API keys: what is on disk, who changes it, and how a running gateway follows."""

from __future__ import annotations

import hashlib
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import pytest

from gateway.errors import ConfigError
from gateway.schema import Caller
from gateway.stores.keys import FILE_NAME, KeyFile, KeyRing, digest_of


def found(ring: KeyRing, text: str) -> Caller | None:
    return ring.find(hashlib.sha256(text.encode()).digest())


def ring_of(state: Path, project: str | None = None, extra_key: str | None = None) -> KeyRing:
    return KeyRing(KeyFile(state), project, extra_key)


def test_a_new_key_is_listed_with_what_was_said_of_it(tmp_path: Path) -> None:
    file = KeyFile(tmp_path)
    key, _ = file.create("Mei", "drama-7", now_s=1000.9)
    assert file.read() == {key.id: key}
    assert (key.name, key.project, key.created_at_s) == ("Mei", "drama-7", 1000)
    assert key.revoked_at_s is None


def test_keys_are_listed_oldest_first_and_are_all_different(tmp_path: Path) -> None:
    file = KeyFile(tmp_path)
    made = [file.create(f"k{n}", None, now_s=n) for n in range(5)]
    assert [key.name for key in file.read().values()] == ["k0", "k1", "k2", "k3", "k4"]
    assert len({text for _, text in made}) == 5


def test_only_the_hash_of_a_key_is_on_disk(tmp_path: Path) -> None:
    key, text = KeyFile(tmp_path).create("Mei", None, now_s=0)
    on_disk = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert text.encode() not in on_disk
    assert text.removeprefix("sk-daobo-").encode() not in on_disk
    assert key.digest == hashlib.sha256(text.encode()).hexdigest() == digest_of(text)


def test_only_the_owner_may_read_the_file(tmp_path: Path) -> None:
    KeyFile(tmp_path).create("Mei", None, now_s=0)
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600


def test_the_state_folder_is_made_where_there_is_none(tmp_path: Path) -> None:
    KeyFile(tmp_path / "new" / "state").create("Mei", None, now_s=0)
    assert KeyFile(tmp_path / "new" / "state").read()


def test_no_draft_stays_behind(tmp_path: Path) -> None:
    KeyFile(tmp_path).create("Mei", None, now_s=0)
    assert {path.name for path in tmp_path.iterdir()} == {FILE_NAME, ".keys.lock"}


def test_a_reader_sees_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    """Whoever has the old file open reads it to its end: it is replaced, never written into."""
    file = KeyFile(tmp_path)
    file.create("first", None, now_s=0)
    with file.path.open("rb") as open_before:
        file.create("second", None, now_s=0)
        assert len(orjson.loads(open_before.read())["keys"]) == 1
    assert len(file.read()) == 2


def test_keys_that_are_made_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    def make(number: int) -> str:
        return KeyFile(tmp_path).create(f"k{number}", None, now_s=0)[0].id

    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(make, range(16)))
    assert set(KeyFile(tmp_path).read()) == made


def test_a_revoked_key_stays_listed_with_the_time(tmp_path: Path) -> None:
    file = KeyFile(tmp_path)
    key, _ = file.create("Mei", None, now_s=0)
    assert file.revoke(key.id, now_s=50).revoked_at_s == 50
    assert file.read()[key.id].revoked_at_s == 50


def test_revoking_again_keeps_the_first_time(tmp_path: Path) -> None:
    file = KeyFile(tmp_path)
    key, _ = file.create("Mei", None, now_s=0)
    file.revoke(key.id, now_s=50)
    assert file.revoke(key.id, now_s=60).revoked_at_s == 50


def test_revoking_what_does_not_exist_changes_nothing(tmp_path: Path) -> None:
    file = KeyFile(tmp_path)
    file.create("Mei", None, now_s=0)
    before = file.path.read_bytes()
    with pytest.raises(ConfigError, match="no key has the id 'key_x'; 'daobo keys list' shows"):
        file.revoke("key_x", now_s=0)
    assert file.path.read_bytes() == before


DIGEST = "0" * 64


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not json",
        b"[]",
        b"{}",
        b'{"keys": null}',
        b'{"keys": ["x"]}',
        b'{"keys": [{"id": "k", "name": "n"}]}',
        b'{"keys": [{"id": "k", "name": "n", "digest": "not hexadecimal"}]}',
        f'{{"keys": [{{"id": 5, "name": "n", "digest": "{DIGEST}"}}]}}'.encode(),
        f'{{"keys": [{{"id": "k", "name": "n", "digest": "{DIGEST}", "project": 5}}]}}'.encode(),
        b'{"keys": [{"id": "k", "na',
    ],
)
def test_a_damaged_file_is_an_error_with_its_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(ConfigError, match=r"keys\.json: not a key file: "):
        KeyFile(tmp_path).read()


def test_a_damaged_file_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"not json")
    with pytest.raises(ConfigError):
        KeyFile(tmp_path).create("Mei", None, now_s=0)
    assert (tmp_path / FILE_NAME).read_bytes() == b"not json"


def test_a_state_folder_that_cannot_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file, not a folder")
    with pytest.raises(ConfigError, match="cannot be written"):
        KeyFile(tmp_path / "state").create("Mei", None, now_s=0)


# The ring of a running gateway


def test_a_key_leads_to_its_caller(tmp_path: Path) -> None:
    key, text = KeyFile(tmp_path).create("Mei", "drama-7", now_s=0)
    ring = ring_of(tmp_path, project="house")
    assert found(ring, text) == Caller(key.id, "drama-7")
    assert found(ring, text + "x") is None


def test_a_key_without_a_project_has_the_default_one(tmp_path: Path) -> None:
    key, text = KeyFile(tmp_path).create("Mei", None, now_s=0)
    assert found(ring_of(tmp_path, project="house"), text) == Caller(key.id, "house")
    assert found(ring_of(tmp_path), text) == Caller(key.id, None)


def test_a_key_of_the_environment_is_valid_beside_those_of_the_file(tmp_path: Path) -> None:
    _, text = KeyFile(tmp_path).create("Mei", None, now_s=0)
    ring = ring_of(tmp_path, project="house", extra_key="sk-from-outside")
    assert found(ring, "sk-from-outside") == Caller("key_environment", "house")
    assert found(ring, text) is not None


def test_a_key_names_a_place_for_its_calls(tmp_path: Path) -> None:
    place = {"tenant": "studio", "season": "1", "episode": "3", "scene": "2", "shot": "7"}
    key, text = KeyFile(tmp_path).create("Mei", "drama-7", now_s=0, **place)
    assert found(ring_of(tmp_path), text) == Caller(key.id, "drama-7", **place)


def test_a_file_of_an_older_version_is_read(tmp_path: Path) -> None:
    old = {"id": "key_1", "name": "Mei", "digest": digest_of("sk-old"), "project": "drama-7"}
    content = {"keys": [{**old, "created_at_s": 1000, "revoked_at_s": None}]}
    (tmp_path / FILE_NAME).write_bytes(orjson.dumps(content))
    assert found(ring_of(tmp_path), "sk-old") == Caller("key_1", "drama-7")
    assert KeyFile(tmp_path).read()["key_1"].admin is False


def test_only_a_key_that_was_made_for_it_may_administer(tmp_path: Path) -> None:
    file = KeyFile(tmp_path)
    _, plain = file.create("Mei", None, now_s=0)
    key, admin = file.create("Lin", None, now_s=0, admin=True)
    ring = KeyRing(file, None, "sk-env", "sk-env-admin")
    may = {text for text in (plain, admin, "sk-env", "sk-env-admin") if administers(ring, text)}
    assert may == {admin, "sk-env-admin"}
    assert found(ring, "sk-env-admin") is None
    file.revoke(key.id, now_s=0)
    ring.refresh()
    assert not administers(ring, admin)


def administers(ring: KeyRing, text: str) -> bool:
    return ring.find_admin(bytes.fromhex(digest_of(text))) is not None


def test_there_are_no_keys_before_the_first_one(tmp_path: Path) -> None:
    ring = ring_of(tmp_path)
    _, text = KeyFile(tmp_path).create("Mei", None, now_s=0)
    assert found(ring, text) is None
    ring.refresh()
    assert found(ring, text) is not None


def test_a_revoked_key_leads_nowhere_after_a_refresh(tmp_path: Path) -> None:
    file = KeyFile(tmp_path)
    key, text = file.create("Mei", None, now_s=0)
    ring = ring_of(tmp_path)
    file.revoke(key.id, now_s=0)
    ring.refresh()
    assert found(ring, text) is None


def test_keys_are_gone_with_their_file(tmp_path: Path) -> None:
    _, text = KeyFile(tmp_path).create("Mei", None, now_s=0)
    ring = ring_of(tmp_path)
    (tmp_path / FILE_NAME).unlink()
    ring.refresh()
    assert found(ring, text) is None


def test_a_damaged_file_changes_nothing_until_it_is_mended(tmp_path: Path) -> None:
    file = KeyFile(tmp_path)
    key, text = file.create("Mei", None, now_s=0)
    ring = ring_of(tmp_path)
    good = file.path.read_bytes()
    file.path.write_bytes(b"{")
    with pytest.raises(ConfigError):
        ring.refresh()
    assert found(ring, text) == Caller(key.id, None)
    file.path.write_bytes(good.replace(digest_of(text).encode(), DIGEST.encode()))
    ring.refresh()
    assert found(ring, text) is None
