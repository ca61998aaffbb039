#!/usr/bin/python3
"""Numbered UDP between network namespaces: sends until a line comes in (or the input ends), and says what is missing.

sequence.py '{"rate": 5000, "size": 64, "flows": [
  {"name": "h1>h2", "from": {"netns": "a", "address": "10.0.0.1"},
   "to": {"netns": "b", "address": "10.0.0.2", "port": 7000}}]}'

"rate" is packets a second of each flow. Prints one line "sending" once all sockets are there, and at the end one line
of JSON, a row a flow: what was sent and received, each run of missing numbers with the times (CLOCK_MONOTONIC, ns) at
which its neighbours were sent, and the receiving socket's own drops. One process sends for all namespaces and one
receives: a socket stays in the namespace that it was made in.
"""
import ctypes
import gc
import json
import os
import select
import socket
import struct
import sys
import time

CLONE_NEWNET = 0x40000000
SO_RCVBUFFORCE = 33
RECEIVE_BYTES = 64 << 20
TICK_S = 0.002
MOST_AT_ONCE = 40  # of a flow in a tick: one that was kept from sending catches up without flooding a queue
DRAIN_S = 1.0
HEAD = struct.Struct("<QQ")
libc = ctypes.CDLL(None, use_errno=True)


def enter(netns):
    fd = os.open(f"/run/netns/{netns}", os.O_RDONLY)
    if libc.setns(fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), f"namespace {netns}")
    os.close(fd)


def udp(end):
    enter(end["netns"])
    family = socket.AF_INET6 if ":" in end["address"] else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind((end["address"], end.get("port", 0)))
    return sock


def send_all(senders, rate, size, out):
    """Sends at `rate` until something can be read from standard input; writes what was sent as JSON."""
    packet = bytearray(size)
    sent = [0] * len(senders)
    refused = [{} for _ in senders]
    clock = time.monotonic_ns
    begun = clock()
    while not select.select([0], [], [], TICK_S)[0]:
        due = (clock() - begun) * rate // 1_000_000_000
        for i, sock in enumerate(senders):
            number = sent[i]
            for number in range(number, min(due, number + MOST_AT_ONCE)):
                HEAD.pack_into(packet, 0, number, clock())
                try:
                    sock.send(packet)
                except OSError as error:
                    name = error.strerror
                    refused[i][name] = refused[i].get(name, 0) + 1
                    break  # it was not sent: its number is used again
                sent[i] = number + 1
    with os.fdopen(out, "w") as pipe:
        json.dump({"sent": sent, "refused": refused, "seconds": (clock() - begun) / 1e9}, pipe)


class Receiver:
    """One flow's receiving end: which numbers came, and which did not."""

    def __init__(self, sock):
        self.sock = sock
        self.buffer = bytearray(2048)
        self.next = 0
        self.received = self.duplicates = self.late = 0
        self.first = self.last = 0
        self.runs = []  # [from, to, sent before, sent after]
        self.missing = set()

    def drain(self):
        receive, buffer, unpack = self.sock.recv_into, self.buffer, HEAD.unpack_from
        for _ in range(512):
            try:
                receive(buffer)
            except BlockingIOError:
                return
            number, sent = unpack(buffer)
            self.received += 1
            if number == self.next:
                self.next += 1
            elif number > self.next:
                self.runs.append([self.next, number - 1, self.last, sent])
                self.missing.update(range(self.next, number))
                self.next = number + 1
            elif number in self.missing:
                self.missing.discard(number)
                self.late += 1
            else:
                self.duplicates += 1
            if self.first == 0:
                self.first = time.monotonic_ns()
            self.last = sent

    def report(self, sent):
        if self.next < sent:
            self.runs.append([self.next, sent - 1, self.last, time.monotonic_ns()])
            self.missing.update(range(self.next, sent))
        runs = []
        for low, high, before, after in self.runs:
            count = sum(1 for n in range(low, high + 1) if n in self.missing)
            if count > 0:
                runs.append({"from": low, "to": high, "count": count, "afterNs": before, "beforeNs": after})
        return {
            "sent": sent,
            "received": self.received,
            "duplicates": self.duplicates,
            "late": self.late,
            "firstNs": self.first,
            "missing": runs,
        }


def socket_drops(sock, netns):
    """Of /proc/net/udp or udp6: the last column of the socket's line."""
    enter(netns)
    inode = str(os.fstat(sock.fileno()).st_ino)
    for name in ("udp", "udp6"):
        with open(f"/proc/thread-self/net/{name}") as table:
            for line in table:
                columns = line.split()
                if len(columns) > 12 and columns[9] == inode:
                    return int(columns[12])
    raise LookupError(f"socket {inode} of {netns}")


def receive_all(receivers, result):
    """Receives until the sender has said what it sent, and then as long as something still comes."""
    poll = select.epoll()
    for receiver in receivers:
        poll.register(receiver.sock.fileno(), select.EPOLLIN)
    poll.register(result, select.EPOLLIN)
    by_fd = {receiver.sock.fileno(): receiver for receiver in receivers}
    text, ended = b"", None
    while ended is None or time.monotonic() < ended:
        for fd, _ in poll.poll(0.05):
            if fd in by_fd:
                by_fd[fd].drain()
                if ended is not None:
                    ended = time.monotonic() + DRAIN_S
                continue
            chunk = os.read(fd, 65536)
            text += chunk
            if not chunk:
                poll.unregister(fd)
                ended = time.monotonic() + DRAIN_S
    return json.loads(text)


def main():
    spec = json.loads(sys.argv[1])
    flows = spec["flows"]
    receivers = [Receiver(udp(flow["to"])) for flow in flows]
    for receiver in receivers:
        receiver.sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BYTES)
    senders = []
    for flow in flows:
        sender = udp(flow["from"])
        sender.connect((flow["to"]["address"], flow["to"]["port"]))
        senders.append(sender)
    gc.disable()  # nothing here makes cycles
    result, out = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(result)
        send_all(senders, spec["rate"], spec.get("size", 64), out)
        os._exit(0)
    os.close(out)
    print("sending", flush=True)
    said = receive_all(receivers, result)
    os.waitpid(pid, 0)
    rows = []
    for i, flow in enumerate(flows):
        row = receivers[i].report(said["sent"][i])
        row["socketDrops"] = socket_drops(receivers[i].sock, flow["to"]["netns"])
        rows.append({"name": flow["name"], "refused": said["refused"][i], "seconds": said["seconds"], **row})
    print(json.dumps(rows), flush=True)


main()
