#!/usr/bin/python3
"""Numbered blocks over one TCP connection to something that echoes, until a line comes in (or the input ends).

stream.py ADDRESS PORT BLOCK_BYTES BLOCKS_PER_SECOND

Prints "connected", and at the end one line of JSON: blocks sent and echoed, what was wrong with the connection or with
the bytes ("" where nothing was), the longest time without an echo, and the connection's retransmits.
"""
import json
import select
import socket
import struct
import sys
import time

DRAIN_S = 20
CONNECT_S = 120
TCP_INFO_RETRANSMITS = 100  # tcpi_total_retrans, struct tcp_info of linux/tcp.h


def block(number, size):
    return (struct.pack("<Q", number) * (size // 8 + 1))[:size]


class Stream:
    def __init__(self, sock, size):
        self.sock, self.size = sock, size
        self.waiting = b""
        self.echo = bytearray()
        self.sent = self.echoed = 0
        self.wrong = ""
        self.longest, self.heard = 0.0, time.monotonic()

    def write(self):
        while self.waiting:
            try:
                self.waiting = self.waiting[self.sock.send(self.waiting) :]
            except BlockingIOError:
                return
            except OSError as error:
                self.wrong = f"write: {error.strerror}"
                return

    def read(self):
        try:
            data = self.sock.recv(1 << 20)
        except BlockingIOError:
            return
        except OSError as error:
            self.wrong = f"read: {error.strerror}"
            return
        if not data:
            self.wrong = "the far end closed"
        self.echo += data
        self.longest = max(self.longest, time.monotonic() - self.heard)
        self.heard = time.monotonic()
        while len(self.echo) >= self.size and not self.wrong:
            if self.echo[: self.size] != block(self.echoed, self.size):
                self.wrong = f"block {self.echoed} came back changed"
            del self.echo[: self.size]
            self.echoed += 1


def connect(address, port):
    """Asks again until something listens there."""
    deadline = time.monotonic() + CONNECT_S
    while True:
        try:
            return socket.create_connection((address, port), timeout=5)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def main():
    address, port, size, rate = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    sock = connect(address, port)
    sock.setblocking(False)
    print("connected", flush=True)
    stream = Stream(sock, size)
    begun, ending = time.monotonic(), None
    while not stream.wrong:
        now = time.monotonic()
        if ending is not None and (stream.echoed == stream.sent or now > ending):
            break
        if ending is None and not stream.waiting and stream.sent < (now - begun) * rate:
            stream.waiting = block(stream.sent, size)
            stream.sent += 1
        stream.write()
        inputs = [sock] if ending is not None else [sock, sys.stdin]
        readable = select.select(inputs, [sock] if stream.waiting else [], [], 0.005)[0]
        if sock in readable:
            stream.read()
        if sys.stdin in readable:
            ending = now + DRAIN_S
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    retransmits = struct.unpack_from("<I", info, TCP_INFO_RETRANSMITS)[0]
    report = {"sent": stream.sent, "echoed": stream.echoed, "wrong": stream.wrong}
    print(json.dumps({**report, "longestMs": round(stream.longest * 1000), "retransmits": retransmits}), flush=True)


main()
