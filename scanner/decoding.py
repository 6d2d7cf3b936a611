"""Decoding into our types, from any thread.

msgspec looks into a type when it is first used, and takes no lock: two threads that begin with the same one
together crash the process. Here one thread at a time looks; what it found serves all later calls.
"""

from __future__ import annotations

import threading
from typing import Any, Final, TypeVar

import msgspec

T = TypeVar("T")

_LOCK: Final = threading.Lock()
_JSON: Final[dict[Any, msgspec.json.Decoder[Any]]] = {}
_MSGPACK: Final[dict[Any, msgspec.msgpack.Decoder[Any]]] = {}


def decode_json(data: bytes | str, kind: type[T]) -> T:
    """Return the value of a JSON text; raises ``msgspec.DecodeError``."""
    value: T = _json_decoder(kind).decode(data)
    return value


def decode_msgpack(data: bytes, kind: type[T]) -> T:
    """Return the value of a MessagePack; raises ``msgspec.DecodeError``."""
    decoder = _MSGPACK.get(kind)
    if decoder is None:
        with _LOCK:
            decoder = _MSGPACK[kind] = msgspec.msgpack.Decoder(kind)
    value: T = decoder.decode(data)
    return value


def convert(
    value: object, kind: type[T], *, strict: bool = True, from_attributes: bool = False
) -> T:
    """Return plain values as ``kind``; raises ``msgspec.ValidationError``."""
    _json_decoder(kind)  # for what msgspec finds out while making it
    return msgspec.convert(value, kind, strict=strict, from_attributes=from_attributes)


def _json_decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    decoder = _JSON.get(kind)
    if decoder is None:
        with _LOCK:
            decoder = _JSON[kind] = msgspec.json.Decoder(kind)
    return decoder
