"""Large payloads: streamed in pieces, each encrypted as a message of its own, with progress.

>>> await skytale.files.send(channel, open("model.bin", "rb"), name="model.bin", progress=print)
>>> incoming = skytale.files.Incoming(directory="received")
>>> async for message in channel.messages():
...     if (file := incoming.feed(message)) is not None:
...         print(file.path, file.sender, file.size)

Neither side holds more than a few pieces in memory. Whatever goes wrong on the way (a piece that is missing, twice, or
longer than said) ends that file alone, and nothing half-written stays under its final name.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

from skytale.envelope import Envelope
from skytale.events import Message

if TYPE_CHECKING:
    from skytale import Channel

__all__ = ["CHUNK", "File", "Incoming", "IncompleteFile", "Progress", "send"]

CHUNK = 256 * 1024
"""How many bytes a piece has."""

_AHEAD = 8
"""How many pieces wait to be numbered at once."""

_PROTOCOL = "skytale-file"
_TYPE = "application/octet-stream"

Progress: TypeAlias = Callable[[int, "int | None"], None]
"""Is told how many bytes are through, and how many there are, if that is known."""


class IncompleteFile(ValueError):
    """A file did not arrive as it was sent."""


@dataclass(frozen=True)
class File:
    """A file that has arrived."""

    sender: str
    name: str
    size: int
    path: Path


async def send(
    channel: Channel, source: BinaryIO, *, name: str = "", size: int | None = None, progress: Progress | None = None
) -> str:
    """Sends what a binary stream holds, from where it stands to its end. Returns the file's id.

    `size` is told to the receivers if it is known; a stream that can seek tells it itself.
    """
    size = _left(source) if size is None else size
    digest, transfer = hashlib.sha256(), secrets.token_hex(16)
    waiting: set[asyncio.Task[int]] = set()
    index = through = 0
    try:
        while piece := await asyncio.to_thread(source.read, CHUNK):
            digest.update(piece)
            about = {"id": transfer, "index": str(index)}
            if index == 0:
                about |= {"name": name, "size": "" if size is None else str(size)}
            waiting.add(asyncio.create_task(channel.send(Envelope(_PROTOCOL, _TYPE, piece, about).pack())))
            index, through = index + 1, through + len(piece)
            if len(waiting) >= _AHEAD:
                waiting = await _some_sent(waiting)
            if progress is not None:
                progress(through, size)
        await asyncio.gather(*waiting)
    finally:
        for task in waiting:
            task.cancel()
    end = {"id": transfer, "index": str(index), "end": digest.hexdigest(), "name": name}
    await channel.send(Envelope(_PROTOCOL, _TYPE, b"", end).pack())
    return transfer


async def _some_sent(waiting: set[asyncio.Task[int]]) -> set[asyncio.Task[int]]:
    done, rest = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()
    return rest


def _left(source: BinaryIO) -> int | None:
    if not source.seekable():
        return None
    here = source.tell()
    end = source.seek(0, os.SEEK_END)
    source.seek(here)
    return end - here


class Incoming:
    """Puts files together that come on channels.

    Args:
        directory: Where they are kept. Their names are made from what the sender says, without directories; a name that
            is taken gets a number.
        max_size: How many bytes a file may have; a longer one is given up. Default: 1 GiB.
        max_files: How many files may be on their way at once. Default: 64.
        progress: Is told the bytes of a file that are there, and how many there are, if that is known.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        max_size: int = 1 << 30,
        max_files: int = 64,
        progress: Progress | None = None,
    ) -> None:
        self._directory = Path(directory)
        self._max_size, self._max_files, self._progress = max_size, max_files, progress
        self._open: dict[tuple[str, str, str], _Partial] = {}

    def feed(self, message: Message) -> File | None:
        """Takes a message; returns a file when that was its last piece, and `None` for anything else.

        Raises:
            IncompleteFile: Where a file came to nothing.
        """
        envelope = Envelope.of(message.body)
        if envelope.protocol != _PROTOCOL:
            return None
        about = envelope.metadata
        key = (message.channel, message.sender, about.get("id", ""))
        partial = self._open.get(key)
        if partial is None:
            if about.get("index") != "0":
                raise IncompleteFile(f"the beginning of a file of {message.sender} is missing")
            if len(self._open) >= self._max_files:
                raise IncompleteFile(f"more than {self._max_files} files are on their way")
            partial = self._open[key] = _Partial(self._directory, about.get("name", ""), about.get("size", ""))
        try:
            partial.add(about.get("index", ""), envelope.payload, self._max_size)
            if self._progress is not None and envelope.payload:
                self._progress(partial.size, partial.announced)
            if "end" not in about:
                return None
            path = partial.finish(about["end"])
        except BaseException:
            self._open.pop(key).discard()
            raise
        del self._open[key]
        return File(message.sender, partial.name, partial.size, path)

    def close(self) -> None:
        """Gives up what is not complete."""
        while self._open:
            self._open.popitem()[1].discard()

    def __enter__(self) -> Incoming:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Partial:
    """A file on its way: a temporary file in the directory."""

    def __init__(self, directory: Path, name: str, announced: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.name = _harmless(name)
        self.announced = int(announced) if announced.isdecimal() and len(announced) < 20 else None
        self.size = 0
        self._directory, self._next, self._digest = directory, 0, hashlib.sha256()
        descriptor, path = tempfile.mkstemp(prefix=".incoming-", dir=directory)
        self._file, self._path = os.fdopen(descriptor, "wb"), Path(path)

    def add(self, index: str, piece: bytes, most: int) -> None:
        if index != str(self._next):
            raise IncompleteFile(f"piece {self._next} of {self.name!r} is missing")
        self._next, self.size = self._next + 1, self.size + len(piece)
        if self.size > most:
            raise IncompleteFile(f"{self.name!r} has more than {most} bytes")
        self._digest.update(piece)
        self._file.write(piece)

    def finish(self, digest: str) -> Path:
        if self._digest.hexdigest() != digest:
            raise IncompleteFile(f"{self.name!r} is not what was sent")
        self._file.close()
        for number in range(1, 10_000):
            stem, suffix = os.path.splitext(self.name)
            path = self._directory / (self.name if number == 1 else f"{stem}-{number}{suffix}")
            try:
                os.link(self._path, path)
            except FileExistsError:
                continue
            self._path.unlink()
            return path
        raise IncompleteFile(f"there are too many files of the name {self.name!r}")

    def discard(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)


def _harmless(name: str) -> str:
    """Returns a name without directories, control characters or a leading dot."""
    name = name.replace("\\", "/").rsplit("/", 1)[-1]
    name = "".join(letter for letter in name if letter.isprintable()).strip().lstrip(".")
    while len(name.encode()) > 200:
        name = name[:-1]
    return name or "file"
