# Packet sockets at the far ends of a switch's ports: a line in says what to send by which device and how many frames
# are expected to come out, a line out says what came, each frame as it was on the wire.
#   python3 wire.py DEVICE...        stdin: DEVICE HEX COUNT       stdout: DEVICE:HEX ...
import select
import socket
import struct
import sys
import time

ETH_P_ALL = 3
SOL_PACKET = 263
PACKET_AUXDATA = 8
PACKET_OUTGOING = 4
TP_STATUS_VLAN_VALID = 1 << 4
TP_STATUS_VLAN_TPID_VALID = 1 << 6
QUIET = 0.003  # so long nothing comes: that was all
LATEST = 2.0


def open_socket(device):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    s.bind((device, ETH_P_ALL))
    s.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    s.setblocking(False)
    return s


def receive(s):
    """A frame with its tag in band, or None for one that was sent here."""
    data, ancillary, _, address = s.recvmsg(65536, 256)
    if address[2] == PACKET_OUTGOING:
        return None
    for level, kind, value in ancillary:
        if level == SOL_PACKET and kind == PACKET_AUXDATA:
            status, _, _, _, _, tci, tpid = struct.unpack("=IIIHHHH", value[:20])
            if status & TP_STATUS_VLAN_VALID:
                tpid = tpid if status & TP_STATUS_VLAN_TPID_VALID else 0x8100
                data = data[:12] + struct.pack("!HH", tpid, tci) + data[12:]
    return data


def gather(sockets, count):
    got = []
    begun = time.monotonic()
    while True:
        wait = QUIET if len(got) >= count else LATEST - (time.monotonic() - begun)
        ready = select.select(list(sockets.values()), [], [], max(wait, 0))[0]
        if not ready:
            return got
        for name, s in sockets.items():
            if s in ready:
                data = receive(s)
                if data is not None:
                    got.append(f"{name}:{data.hex()}")


def main():
    sockets = {name: open_socket(name) for name in sys.argv[1:]}
    print("ready", flush=True)
    for line in sys.stdin:
        device, data, count = line.split()
        sockets[device].send(bytes.fromhex(data))
        print(" ".join(gather(sockets, int(count))), flush=True)


main()
