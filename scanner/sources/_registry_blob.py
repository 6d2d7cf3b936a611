"""A blob as a stream that goes on where a cut connection left off.

Source: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-blobs
"""

from __future__ import annotations

import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from scanner.errors import DigestMismatchError, UpstreamError
from scanner.model import Descriptor
from scanner.sources._registry_errors import Backoff, TransientError, wire_errors

if TYPE_CHECKING:
    import requests

    from scanner.sources._registry_client import RegistryClient

_OPERATION: Final = "fetch blob"
_GATHER_BYTES: Final = 256 * 1024
"""What one read waits for: less costs more time per byte, more keeps the reader waiting."""
_PROGRESS_BYTES: Final = 1024 * 1024
"""After this much, earlier cuts are forgotten: a long blob may see many."""
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)\Z")


class RegistryBlob:
    """One blob being read, front to back, once; never more than its descriptor's size."""

    def __init__(
        self,
        client: RegistryClient,
        url: str,
        descriptor: Descriptor,
        *,
        retries_count: int,
        idle_seconds: float,
        backoff: Backoff,
    ) -> None:
        self._client = client
        self._url = url
        self._size = descriptor.size
        self._retries_count = retries_count
        self._idle_seconds = idle_seconds
        self._backoff = backoff
        self._offset = 0
        self._skip = 0
        """Bytes still to be read again, where the registry ignores Range."""
        self._cuts = 0
        self._safe_offset = 0
        """Where the count of cuts began."""
        self._response: requests.Response | None = None
        self._is_closed = False
        self._connect()

    def read(self, size: int, /) -> bytes:
        """Return 1..size bytes, or ``b""`` at the end.

        Raises:
            DigestMismatchError: the registry has more or fewer bytes than the descriptor says.
            UpstreamError: cut more often than may be resumed, time-out, bad status.
        """
        wanted = min(size, self._size - self._offset, _GATHER_BYTES)
        if wanted <= 0:
            return b"" if size <= 0 else self._finish()
        until = time.monotonic() + self._idle_seconds
        parts: list[bytes] = []
        while wanted > 0 and (not parts or time.monotonic() < until):
            chunk = self._next(wanted)
            parts.append(chunk)
            self._offset += len(chunk)
            wanted -= len(chunk)
        return b"".join(parts)

    def close(self) -> None:
        """Let go of the connection; safe to call twice."""
        self._is_closed = True
        response = self._response
        if response is not None:
            # Wake a thread that waits for bytes; where all have come, there is nothing to shut down.
            with suppress(ValueError, RuntimeError, OSError):
                response.raw.shutdown()
        self._drop()

    def _drop(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None

    def _next(self, wanted: int) -> bytes:
        """Return 1..wanted bytes from ``_offset`` on, resuming as often as allowed."""
        while True:
            try:
                if self._response is None and not self._is_closed:
                    self._connect()
                while self._skip:
                    self._skip -= len(self._receive(min(self._skip, _GATHER_BYTES)))
                return self._receive(wanted)
            except TransientError as failure:
                self._drop()
                self._pause(failure)

    def _receive(self, wanted: int) -> bytes:
        """Return 1..wanted bytes as they arrive."""
        chunk = self._read_raw(wanted)
        if not chunk:
            raise TransientError(
                UpstreamError(
                    self._client.host,
                    _OPERATION,
                    f"the connection was cut after {self._offset} of {self._size} bytes",
                    retryable=True,
                )
            )
        return chunk

    def _read_raw(self, wanted: int) -> bytes:
        response = self._response
        if self._is_closed or response is None:
            raise self._closed()
        try:
            with wire_errors(self._client.host, _OPERATION):
                chunk: bytes = response.raw.read1(wanted)
        except (ValueError, AttributeError, TransientError):
            # Closed by another thread to stop this one: the library then fails in its own ways.
            if self._is_closed:
                raise self._closed() from None
            raise
        return chunk

    def _closed(self) -> UpstreamError:
        return UpstreamError(self._client.host, _OPERATION, "the blob has been closed")

    def _pause(self, failure: TransientError) -> None:
        if self._offset - self._safe_offset >= _PROGRESS_BYTES:
            self._cuts = 0
            self._safe_offset = self._offset
        if self._cuts >= self._retries_count:
            raise failure.error from None
        time.sleep(self._backoff.wait_seconds(self._cuts, failure.wait_seconds))
        self._cuts += 1

    def _connect(self) -> None:
        """Ask for the bytes from ``_offset`` on, and check that the reply is about them."""
        response = self._client.open_stream(self._url, offset=self._offset, operation=_OPERATION)
        self._response = response
        if self._is_closed:
            self._drop()
            raise self._closed()
        try:
            start = self._start_of(response)
            self._check_length(response, start)
        except BaseException:
            self._drop()
            raise
        self._skip = self._offset - start

    def _start_of(self, response: requests.Response) -> int:
        if response.status_code == 416:  # noqa: PLR2004 - range not satisfiable
            raise self._size_mismatch(f"at most {self._offset}")
        if response.status_code == 200:  # noqa: PLR2004
            return 0
        match = _CONTENT_RANGE.match(response.headers.get("Content-Range", "").strip())
        if not match or int(match[1]) != self._offset or not self._offset:
            raise UpstreamError(self._client.host, _OPERATION, "a range that was not asked for")
        if match[3] != "*" and int(match[3]) != self._size:
            raise self._size_mismatch(match[3])
        return self._offset

    def _check_length(self, response: requests.Response, start: int) -> None:
        length = response.raw.length_remaining
        if length is None:
            return
        # A part may be shorter than asked for; a whole may not.
        is_whole = response.status_code == 200  # noqa: PLR2004
        if start + length > self._size or (is_whole and length != self._size):
            raise self._size_mismatch(str(start + length))

    def _finish(self) -> bytes:
        """Return ``b""`` once the reply has ended where the descriptor says."""
        if self._response is None:
            return b""
        try:
            more = self._read_raw(1)
        except TransientError:
            # Every byte has come; how the connection ends does not matter, the digest will tell.
            more = b""
        finally:
            self._drop()
        if more:
            raise self._size_mismatch(f"more than {self._size}")
        return b""

    def _size_mismatch(self, actual: str) -> DigestMismatchError:
        return DigestMismatchError("blob size", str(self._size), actual)
