#!/usr/bin/env python3
"""Fetches one blob with many clients at once over plain http: read-blob.py [--drop] [--bare FILE] CLIENTS HOST:PORT/PATH

With --drop the kernel throws the bytes away at the socket (MSG_TRUNC) instead of copying them to the client: so little does a
client cost that is another machine. With --bare the bytes come from a bare sendfile(2) of FILE, a process for each client, to
see what the machine can do: the address is left out then.
"""

import argparse
import os
import socket
import sys

PIECE = 1 << 20


def read(connection: socket.socket, path: str, drop: bool) -> None:
    """Fetches the blob over a connection and counts its bytes."""
    host = "%s:%d" % connection.getpeername()
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        piece = connection.recv(4096)
        if not piece:
            sys.exit("the server hung up")
        head += piece
    head, rest = head.split(b"\r\n\r\n", 1)
    lines = head.decode().split("\r\n")
    if " 200 " not in lines[0] + " ":
        sys.exit(lines[0])
    left = int(next(line.split(":")[1] for line in lines if line.lower().startswith("content-length"))) - len(rest)
    buffer = bytearray(PIECE)
    while left > 0:
        count = connection.recv_into(buffer, min(PIECE, left), socket.MSG_TRUNC if drop else 0)
        if count == 0:
            sys.exit(f"the server hung up, {left} bytes early")
        left -= count


def serve_bare(listener: socket.socket, name: str) -> None:
    """Answers one request with the file."""
    connection, _ = listener.accept()
    connection.recv(4096)
    with open(name, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
        offset = 0
        while offset < size:
            offset += os.sendfile(connection.fileno(), file.fileno(), offset, PIECE)
    connection.close()


def spawn(work, *arguments) -> int:
    """Runs a function in a process of its own."""
    process = os.fork()
    if process == 0:
        work(*arguments)
        os._exit(0)
    return process


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--drop", action="store_true")
    parser.add_argument("--bare", metavar="FILE")
    parser.add_argument("clients", type=int)
    parser.add_argument("address", nargs="?", default="")
    options = parser.parse_args()

    children = []
    if options.bare:
        listener = socket.create_server(("127.0.0.1", 0), backlog=options.clients)
        place, path = listener.getsockname(), "/"
        children += [spawn(serve_bare, listener, options.bare) for _ in range(options.clients)]
    else:
        host, path = options.address.split("/", 1)
        place, path = (host.split(":")[0], int(host.split(":")[1])), "/" + path

    def client() -> None:
        with socket.create_connection(place) as connection:
            read(connection, path, options.drop)

    children += [spawn(client) for _ in range(options.clients)]
    failed = [child for child in children if os.waitpid(child, 0)[1] != 0]
    if failed:
        sys.exit(f"{len(failed)} of {len(children)} failed")


main()
