"""Times a cheap request again and again: ``python -m tests.faults.latency_probe``.

A process of its own with one blocking socket, so that nothing of the test's own work is in the
figures; what they show is the gateway's event loop, and whatever else the machine does. Prints a
line of microseconds for each request, until its standard input is closed.
"""

import argparse
import select
import socket
import sys
import time

REQUEST = b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
TIMEOUT_S = 30.0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--interval-s", type=float, required=True)
    given = parser.parse_args()
    with socket.create_connection(("127.0.0.1", given.port), TIMEOUT_S) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while not select.select([sys.stdin], [], [], given.interval_s)[0]:
            began_s = time.perf_counter()
            sock.sendall(REQUEST)
            answer = b""
            while not answer.endswith(b"}"):
                piece = sock.recv(4096)
                if not piece:
                    sys.exit("the gateway closed the connection")
                answer += piece
            print(round((time.perf_counter() - began_s) * 1e6), flush=True)


if __name__ == "__main__":
    main()
