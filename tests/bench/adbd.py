"""A debug-bridge daemon that speaks the real protocol: the real ``adb`` is tested without a phone.

Commands run here in ``sh``; ``dumpsys`` and ``getprop`` come from a folder of scripts in front of PATH.
Written from the protocol's public description (packages/modules/adb: protocol.txt, SYNC.TXT, SHELL protocol).
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue

CNXN, OPEN, OKAY, WRTE, CLSE = (
    struct.unpack("<I", name)[0] for name in (b"CNXN", b"OPEN", b"OKAY", b"WRTE", b"CLSE")
)
VERSION, MAX_PAYLOAD = 0x01000000, 4096


@dataclass
class Stream:
    """One open service: what the client wrote, and its readiness for more of ours."""

    local: int
    remote: int
    received: Queue[bytes | None] = field(default_factory=Queue)
    ready: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    buffer: bytes = b""

    def read(self, count: int) -> bytes:
        while len(self.buffer) < count:
            block = self.received.get()
            if block is None:
                raise EOFError
            self.buffer += block
        got, self.buffer = self.buffer[:count], self.buffer[count:]
        return got


class Daemon:
    """Listens on the loopback interface.

    Attributes:
        port: where.
        exit_codes: whether the shell reports exit codes (version 2 of its protocol).
        commands: shell commands so far.
    """

    def __init__(self, scripts: Path, *, exit_codes: bool) -> None:
        self.exit_codes = exit_codes
        self.scripts = scripts
        self.commands: list[str] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._connection: socket.socket | None = None
        self._sending = threading.Lock()
        self._streams: dict[int, Stream] = {}
        threading.Thread(target=self._serve, daemon=True).start()

    def drop(self) -> None:
        """Pull the cable."""
        for closing in (self._listener, self._connection):
            if closing is not None:
                with contextlib.suppress(OSError):
                    closing.shutdown(socket.SHUT_RDWR)
                closing.close()
        for process in self._processes:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._connection = connection
                self._streams = {}
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError):
            while True:
                command, first, second, length, _, magic = struct.unpack("<6I", _exactly(connection, 24))
                assert magic == command ^ 0xFFFFFFFF
                self._handle(command, first, second, _exactly(connection, length))
        for stream in self._streams.values():
            stream.received.put(None)

    def _handle(self, command: int, first: int, second: int, payload: bytes) -> None:
        if command == CNXN:
            features = "features=cmd,shell_v2" if self.exit_codes else "features=cmd"
            self._send(CNXN, VERSION, MAX_PAYLOAD, f"device::ro.product.model=Paper;{features}".encode())
        elif command == OPEN:
            stream = Stream(len(self._streams) + 1, first)
            self._streams[stream.local] = stream
            self._send(OKAY, stream.local, stream.remote)
            service = payload.rstrip(b"\0").decode()
            threading.Thread(target=self._run, args=(stream, service), daemon=True).start()
        elif second in self._streams:
            stream = self._streams[second]
            if command == WRTE:
                stream.received.put(payload)
                self._send(OKAY, stream.local, stream.remote)
            elif command == OKAY:
                stream.ready.release()
            elif command == CLSE:
                stream.received.put(None)

    def _run(self, stream: Stream, service: str) -> None:
        with contextlib.suppress(OSError, EOFError):
            if service.startswith("shell"):
                name, _, command = service.partition(":")
                self._shell(stream, command, versioned=",v2" in name)
            elif service == "sync:":
                self._sync(stream)
            self._send(CLSE, stream.local, stream.remote)

    def _shell(self, stream: Stream, command: str, *, versioned: bool) -> None:
        self.commands.append(command)
        env = {**os.environ, "PATH": f"{self.scripts}:{os.environ['PATH']}"}
        process = subprocess.Popen(
            ["sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if versioned else subprocess.STDOUT,
            env=env,
            start_new_session=True,
        )
        self._processes.append(process)
        assert process.stdout is not None
        while block := os.read(process.stdout.fileno(), 2048):
            self._write(stream, _shell_packet(1, block) if versioned else block)
        if versioned:
            assert process.stderr is not None
            for block in iter(lambda: process.stderr.read(2048), b""):
                self._write(stream, _shell_packet(2, block))
        code = process.wait()
        if versioned:
            self._write(stream, _shell_packet(3, bytes([code & 255])))

    def _sync(self, stream: Stream) -> None:
        while True:
            request, length = struct.unpack("<4sI", stream.read(8))
            if request == b"QUIT":
                return
            name = stream.read(length).decode()
            if request in (b"STAT", b"LSTA"):
                path = Path(name)
                there = path.stat() if path.exists() else None
                mode, size, changed = (
                    (there.st_mode, there.st_size, int(there.st_mtime)) if there else (0, 0, 0)
                )
                self._write(stream, request + struct.pack("<3I", mode, size, changed))
            elif request == b"SEND":
                self._receive(stream, name)
            elif request == b"RECV":
                data = Path(name).read_bytes()
                for at in range(0, len(data), 2048):
                    block = data[at : at + 2048]
                    self._write(stream, b"DATA" + struct.pack("<I", len(block)) + block)
                self._write(stream, b"DONE" + struct.pack("<I", 0))
            else:
                raise EOFError(request)

    def _receive(self, stream: Stream, name: str) -> None:
        path, _, mode = name.rpartition(",")
        blocks = []
        while True:
            kind, length = struct.unpack("<4sI", stream.read(8))
            if kind == b"DONE":
                break
            blocks.append(stream.read(length))
        try:
            Path(path).write_bytes(b"".join(blocks))
            Path(path).chmod(int(mode) & 0o777)
        except OSError as error:
            reason = str(error.strerror).encode()
            self._write(stream, b"FAIL" + struct.pack("<I", len(reason)) + reason)
            return
        self._write(stream, b"OKAY" + struct.pack("<I", 0))

    def _write(self, stream: Stream, data: bytes) -> None:
        for at in range(0, len(data), MAX_PAYLOAD):
            self._send(WRTE, stream.local, stream.remote, data[at : at + MAX_PAYLOAD])
            if not stream.ready.acquire(timeout=30):
                raise EOFError

    def _send(self, command: int, first: int, second: int, payload: bytes = b"") -> None:
        head = struct.pack(
            "<6I", command, first, second, len(payload), sum(payload) & 0xFFFFFFFF, command ^ 0xFFFFFFFF
        )
        assert self._connection is not None
        with self._sending:
            self._connection.sendall(head + payload)


def _shell_packet(kind: int, data: bytes) -> bytes:
    return struct.pack("<BI", kind, len(data)) + data


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        block = connection.recv(count - len(data))
        if not block:
            raise EOFError
        data += block
    return data
