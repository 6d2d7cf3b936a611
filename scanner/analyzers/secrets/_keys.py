"""What lies between BEGIN and END of a private key: nothing, a plain key or an encrypted one.

Source: https://www.rfc-editor.org/rfc/rfc7468
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Literal

_ESCAPES = re.compile(rb"\\+[nrt]|\\\r?\n|[\"'`]\s{0,40}[+.,;\\]{0,2}\s{0,40}[\"'`]")
_HEADERS = re.compile(
    rb"(?:^|(?<=[\r\n]))[ \t]{0,40}[A-Za-z][A-Za-z0-9-]{1,40}: [^\r\n]{0,200}(?:\r?\n[ \t]{1,8}[^\r\n:]{0,80}\\)?"
)
_NOT_BASE64 = re.compile(rb"[\s\"'`,;\\>|]")
_OPENSSH = b"openssh-key-v1\0"
_SSH2 = b"\x3f\x6f\xf9\xeb"
_OPENPGP_TAGS = frozenset({0x94, 0x95, 0x96, 0x97, 0xC5})

_PEM = re.compile(rb"-----BEGIN [A-Z0-9 ]{0,16}PRIVATE KEY-----(.{40,16000}?)-----END", re.DOTALL)

State = Literal["plain", "encrypted", ""]


def body_of(text: bytes) -> bytes:
    """Return the base64 of a PEM body: escapes, quotes, RFC 1421 headers and white space removed."""
    lines = _ESCAPES.sub(b"\n", text)
    return _NOT_BASE64.sub(b"", _HEADERS.sub(b"", lines))


def _decoded(text: bytes) -> bytes:
    body = body_of(text).partition(b"=")[0]
    try:
        return base64.b64decode(body + b"=" * (-len(body) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""


def is_filled(raw: bytes) -> bool:
    """Say whether the second half of a key looks random: a stand-in repeats itself."""
    return len(set(raw[len(raw) // 2 :])) >= 12


def is_encoded_key(text: bytes) -> bool:
    """Say whether ``text`` is base64 of key material, as PuTTY writes it."""
    return is_filled(_decoded(text))


def state_of(text: bytes) -> State:
    """Say what kind of private key ``text`` (between BEGIN and END) holds; empty for none."""
    raw = _decoded(text)
    if not is_filled(raw):
        return ""
    if b"4,ENCRYPTED" in text:
        return "encrypted" if len(raw) >= 40 else ""
    if raw.startswith(_OPENSSH):
        return _openssh_state(raw)
    if raw.startswith(_SSH2):
        return "encrypted" if b"\0\0\0\x04none" not in raw[:120] else "plain"
    return _der_state(raw)


def holds_pem_key(text: bytes) -> bool:
    """Say whether ``text`` holds a private key in PEM."""
    match = _PEM.search(text)
    return bool(match and state_of(match[1]))


def _openssh_state(raw: bytes) -> State:
    if len(raw) < 120:
        return ""
    return "plain" if raw[len(_OPENSSH) :].startswith(b"\0\0\0\x04none") else "encrypted"


def _der_state(raw: bytes) -> State:
    """A SEQUENCE as long as it says, that starts with a version (plain) or an algorithm (encrypted)."""
    if len(raw) < 40 or raw[0] != 0x30:
        return ""
    width = raw[1] & 0x7F if raw[1] & 0x80 else 0
    length = int.from_bytes(raw[2 : 2 + width], "big") if width else raw[1]
    start = 2 + width
    if width > 3 or start + length != len(raw):
        return ""
    if raw[start] == 0x02 and raw[start + 1] == 1 and raw[start + 2] in {0, 1}:
        return "plain"
    return "encrypted" if raw[start] == 0x30 and b"\x06" in raw[start + 2 : start + 5] else ""


def is_openpgp_secret(text: bytes) -> bool:
    """Say whether an armored body starts with a secret key packet and has a plausible size."""
    armor = text.replace(b"\\n", b"\n").replace(b"\\r", b"").replace(b"\r", b"").strip(b"\n \t")
    data = armor.partition(b"\n\n")[2] or armor
    raw = _decoded(re.split(rb"\n=[A-Za-z0-9+/]{4}\s*\Z", data)[0])
    return len(raw) >= 100 and raw[0] in _OPENPGP_TAGS and is_filled(raw)
