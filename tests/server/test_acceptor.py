"""Clients are let in as they come, however long the turns of the event loop are."""

import asyncio
import errno
import socket
import time

import pytest

from gateway.server import acceptor
from gateway.server.acceptor import MAX_IN_A_TURN, Acceptor


class Guests:
    """Says hello to each connection."""

    def __init__(self):
        self.came = 0
        self.all_in = asyncio.Event()
        self.expected = 1

    def __call__(self):
        guests = self

        class Guest(asyncio.Protocol):
            def connection_made(self, transport):
                transport.write(b"hello")
                guests.came += 1
                if guests.came == guests.expected:
                    guests.all_in.set()

        return Guest()


@pytest.fixture
async def entrance():
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    guests = Guests()
    entrance = Acceptor(bound, 256, guests)
    entrance.guests, entrance.address = guests, bound.getsockname()
    yield entrance
    await entrance.stop()


async def test_all_that_wait_are_let_in_within_a_few_turns(entrance):
    entrance.guests.expected = 2 * MAX_IN_A_TURN
    clients = [socket.create_connection(entrance.address) for _ in range(2 * MAX_IN_A_TURN)]
    turns = 0
    while not entrance.guests.all_in.is_set():
        turns += 1
        await asyncio.sleep(0)
        assert turns < 20
    for client in clients:
        client.close()


async def test_whoever_waited_when_it_stopped_is_let_in_and_nobody_after(entrance):
    entrance.guests.expected = 2 * MAX_IN_A_TURN
    clients = [socket.create_connection(entrance.address) for _ in range(2 * MAX_IN_A_TURN)]
    await entrance.stop()
    async with asyncio.timeout(30):
        await entrance.guests.all_in.wait()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(entrance.address)
    for client in clients:
        client.close()


async def test_without_descriptors_it_rests_and_goes_on_later(entrance, monkeypatch):
    monkeypatch.setattr(acceptor, "PAUSE_S", 0.05)
    failures = []

    class Exhausted:
        def accept(self):
            failures.append(time.monotonic())
            raise OSError(errno.EMFILE, "Too many open files")

        def __getattr__(self, name):
            return getattr(real, name)

    real, entrance._socket = entrance._socket, Exhausted()
    client = socket.create_connection(entrance.address)
    async with asyncio.timeout(30):
        while not failures:
            await asyncio.sleep(0.01)
        entrance._socket = real
        await entrance.guests.all_in.wait()
    assert len(failures) < 5
    client.close()
