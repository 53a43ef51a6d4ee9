"""A ledger on both kinds of database."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from books import Bench

from tests.databases import Cluster


@pytest.fixture
def bench(ledger_url: str) -> Iterator[Bench]:
    """Closed after the test, when every balance must be what its rows add up to."""
    bench = Bench(ledger_url)
    yield bench
    found = bench.differences()
    bench.close()
    assert found == []


@pytest.fixture
def second_url(new_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """Another database of the kind, without tables too."""
    if new_url.startswith("sqlite"):
        yield f"sqlite:///{tmp_path / 'second.db'}"
    else:
        cluster: Cluster = request.getfixturevalue("postgres")
        with cluster.database() as url:
            yield url
