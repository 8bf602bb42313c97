#!/usr/bin/env python3
"""A small NVMe/TCP host, written from the specifications and sharing nothing with umpio:
what a target says when asked by somebody else.

    client.py PORT [PORT...]    asks each port of 127.0.0.1, prints one JSON object per port

One command at a time, blocking sockets, no cleverness: the lab's second opinion.
Linux nvmet (read and tried with 6.12) never answers a command that carries data to it outside
the capsule where the data would have fitted the port's in-capsule size, admin commands
included: it waits for in-capsule data. So whatever fits is sent in the capsule.
"""
import json
import os
import socket
import struct
import sys
import uuid

LAB_NQN = "nqn.2026-01.dev.umpio:lab"
HOST_ID = uuid.UUID("6c616200-1111-4222-8333-444444444444")
ANA = {1: "optimized", 2: "non-optimized", 3: "inaccessible", 4: "persistent-loss", 15: "change"}

ICREQ, ICRESP, CMD, RSP, H2C_DATA, C2H_DATA, R2T = 0, 1, 4, 5, 6, 7, 9
FABRICS = 0x7F


def _table():
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
        yield n


CRC32C = tuple(_table())


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC32C[(crc ^ byte) & 0xFF] ^ crc >> 8
    return struct.pack("<I", crc ^ 0xFFFFFFFF)


class Refused(Exception):
    """A command's status, (type << 8) | code, with DNR in bit 14."""

    def __init__(self, what, status):
        super().__init__(f"{what}: status {status:#x}")
        self.status = status & 0x7FF


class Queue:
    """One connection: an admin queue (qid 0) or an I/O queue."""

    def __init__(self, port, qid=0, controller=0xFFFF, digests=False, limit_s=30.0, nqn=LAB_NQN):
        self.next_id = 0
        self.socket = socket.create_connection(("127.0.0.1", port), limit_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.digests = False
        asked = 3 if digests else 0
        self._send(ICREQ, struct.pack("<HBBI", 0, 0, asked, 0).ljust(120, b"\0"))
        kind, body, _ = self._receive()
        assert kind == ICRESP and len(body) == 120, (kind, len(body))
        version, self.cpda, agreed, self.max_data = struct.unpack_from("<HBBI", body)
        assert version == 0 and agreed == asked and self.cpda == 0, (version, agreed, self.cpda)
        self.digests = digests
        host = f"nqn.2014-08.org.nvmexpress:uuid:{HOST_ID}"
        data = HOST_ID.bytes + struct.pack("<H", controller)
        data = data.ljust(256, b"\0") + nqn.encode().ljust(256, b"\0") + host.encode()
        connect = struct.pack("<HHHBxI", 0, qid, 31, 0, 0)
        result, _ = self.command(FABRICS, 1, connect, data.ljust(1024, b"\0"), inline=True)
        self.controller = result & 0xFFFF

    def close(self):
        self.socket.close()

    def _send(self, kind, header, data=b"", flags=0):
        digest = 4 if self.digests else 0
        length = 8 + len(header)
        offset = length + digest if data else 0
        total = length + digest + len(data) + (digest if data else 0)
        if digest:
            flags |= 3 if data else 1
        head = struct.pack("<BBBBI", kind, flags, length, offset, total) + header
        self.socket.sendall(head + (crc32c(head) if digest else b"") + data
                            + (crc32c(data) if digest and data else b""))

    def _exactly(self, count):
        got = bytearray()
        while len(got) < count:
            more = self.socket.recv(count - len(got))
            if not more:
                raise ConnectionResetError("the target closed the connection")
            got += more
        return bytes(got)

    def _receive(self):
        head = self._exactly(8)
        kind, flags, length, offset, total = struct.unpack("<BBBBI", head)
        head += self._exactly(length - 8)
        rest = self._exactly(total - length)
        if flags & 1:
            assert rest[:4] == crc32c(head), "header digest"
        data = b""
        if offset:
            data = rest[offset - length:]
            if flags & 2:
                data, digest = data[:-4], data[-4:]
                assert digest == crc32c(data), "data digest"
        return kind, head[8:], data

    def command(self, opcode, nsid, words, out=b"", into=0, inline=False):
        """words: bytes 40 onward of the command. Returns (result, data)."""
        self.next_id = self.next_id % 30 + 1
        tag, size = self.next_id, len(out) or into
        sgl = struct.pack("<QI3xB", 0, size, 0x01 if inline else 0x5A)
        start = struct.pack("<BBHI16x", opcode, 0x40, tag, nsid)
        self._send(CMD, (start + sgl + words).ljust(64, b"\0"), out if inline else b"")
        data = bytearray(into)
        while True:
            kind, body, payload = self._receive()
            if kind == C2H_DATA:
                at, count = struct.unpack_from("<II", body, 4)
                data[at:at + count] = payload
            elif kind == R2T:
                _, transfer, at, count = struct.unpack_from("<HHII", body)
                while count:
                    part = min(count, self.max_data)
                    header = struct.pack("<HHII4x", tag, transfer, at, part)
                    last = 4 if part == count else 0
                    self._send(H2C_DATA, header, out[at:at + part], last)
                    at, count = at + part, count - part
            elif kind == RSP:
                result, _, _, answered, status = struct.unpack("<QHHHH", body)
                if answered != tag:
                    continue            # an asynchronous event, not ours
                if status >> 1:
                    raise Refused(f"opcode {opcode:#x}", status >> 1)
                return result, bytes(data)
            else:
                raise AssertionError(f"PDU of type {kind}: {body.hex()}")


class Controller:
    """An association: the admin queue and, when asked for, one I/O queue."""

    def __init__(self, port, digests=False, limit_s=30.0):
        self.port, self.digests, self.limit_s, self.io = port, digests, limit_s, None
        self.admin = Queue(port, digests=digests, limit_s=limit_s)
        # CC: enabled, entries of 64 and 16 bytes; then CSTS says ready
        self.admin.command(FABRICS, 0, struct.pack("<BxxxIQ", 0, 0x14, 0x460001))
        ready = 0
        while not ready & 1:
            ready, _ = self.admin.command(FABRICS, 4, struct.pack("<BxxxI", 0, 0x1C))
        # IOCCSZ counts 16-byte units, the command itself among them
        self.inline = struct.unpack_from("<I", self.identify(1), 1792)[0] * 16 - 64

    def close(self):
        for queue in (self.io, self.admin):
            if queue:
                queue.close()

    def identify(self, what, nsid=0):
        return self.admin.command(0x06, nsid, struct.pack("<I", what), into=4096)[1]

    def ana(self):
        """ANA group -> state."""
        words = struct.pack("<I", 0x0C | 1023 << 16)
        log = self.admin.command(0x02, 0, words, into=4096)[1]
        _, groups = struct.unpack_from("<QH", log)
        at, states = 16, {}
        for _ in range(groups):
            group, count, _, state = struct.unpack_from("<IIQB", log, at)
            states[group] = ANA.get(state & 15, state)
            at += 32 + 4 * count
        return states

    def _transfer(self, opcode, lba, blocks, **data):
        if not self.io:
            self.io = Queue(self.port, 1, self.admin.controller, self.digests, self.limit_s)
        return self.io.command(opcode, 1, struct.pack("<QH", lba, blocks - 1), **data)[1]

    def read(self, lba, blocks):
        return self._transfer(0x02, lba, blocks, into=blocks * 512)

    def write(self, lba, data):
        self._transfer(0x01, lba, len(data) // 512, out=data, inline=len(data) <= self.inline)


def identity(controller):
    descriptors, at, names = controller.identify(3, 1), 0, {}
    kinds = {1: "eui64", 2: "nguid", 3: "uuid"}
    while descriptors[at]:
        kind, length = descriptors[at], descriptors[at + 1]
        if kind in kinds:
            names[kinds[kind]] = descriptors[at + 4:at + 4 + length].hex()
        at += 4 + length
    return names


def ask(port):
    c = Controller(port)
    who, disk = c.identify(1), c.identify(0, 1)
    told = {
        "port": port,
        "model": who[24:64].decode().strip(),
        "controller": c.admin.controller,
        "max_data": c.admin.max_data,
        "inline": c.inline,
        "mdts": who[77],
        "ana": c.ana(),
        "blocks": struct.unpack_from("<Q", disk)[0],
        "block_size": 1 << disk[128 + 4 * (disk[26] & 15) + 2],
        "ana_group": struct.unpack_from("<I", disk, 92)[0],
        "identity": identity(c),
    }
    c.close()
    return told


def exchange(first, second, digests):
    """Writes through one port and reads through the other: in the capsule, and on the
    target's request."""
    a, b = Controller(first, digests), Controller(second, digests)
    for lba, blocks in ((0, 1), (7, 8), (1000, 32), (4096, 33), (8192, 512)):
        data = os.urandom(blocks * 512)
        a.write(lba, data)
        if b.read(lba, blocks) != data:
            raise AssertionError(f"{blocks} blocks at {lba} came back different")
    a.close()
    b.close()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    for number in sys.argv[1:]:
        print(json.dumps(ask(int(number))))
