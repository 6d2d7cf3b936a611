"""One image with its descriptors and paths, and small helpers, for the tests of the registry source."""

from __future__ import annotations

import base64
import random

from support.faulty_registry import FaultyRegistry, error_reply
from support.image_builder import (
    OCI_CONFIG,
    OCI_MANIFEST,
    Entry,
    digest,
    gzip_layer,
    image,
    tar_layer,
)

from scanner.model import Descriptor, Digest
from scanner.ports import BlobStream, ImageSource, Limits
from scanner.sources._registry_errors import Backoff

BACKOFF = Backoff(base_seconds=0.001, cap_seconds=0.01)
LIMITS = Limits()
NAME = "team/app"
APP = image(
    [
        gzip_layer(tar_layer([Entry("a", random.Random(1).randbytes(300_000))])),
        gzip_layer(tar_layer([Entry("b", b"b")])),
    ],
    {"User": "app"},
)
LAYER = Descriptor(
    media_type="application/vnd.oci.image.layer.v1.tar+gzip",
    digest=Digest(digest(APP.layers[0])),
    size=len(APP.layers[0]),
)
CONFIG = Descriptor(media_type=OCI_CONFIG, digest=Digest(APP.image_id), size=len(APP.config_bytes))
MANIFEST = Descriptor(
    media_type=OCI_MANIFEST, digest=Digest(APP.digest), size=len(APP.manifest_bytes)
)
MANIFEST_PATH = f"/v2/{NAME}/manifests/1"
LAYER_PATH = f"/v2/{NAME}/blobs/{LAYER.digest}"
CONFIG_PATH = f"/v2/{NAME}/blobs/{CONFIG.digest}"


def read_blob(blob: BlobStream, size: int = 100_000) -> bytes:
    """Read a blob to its end and close it."""
    try:
        return b"".join(iter(lambda: blob.read(size), b""))
    finally:
        blob.close()


def read_all(source: ImageSource, wanted: Descriptor = LAYER) -> bytes:
    return read_blob(source.open_blob(wanted))


def full_texts(error: BaseException | None) -> str:
    """Return everything that a log of the error could hold."""
    texts = []
    while error is not None:
        texts += [str(error), repr(error), repr(vars(error))]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n".join(texts)


def word(text: str) -> str:
    """Return a text to look for in messages; not written out, so that no scanner takes it for real."""
    return f"{text}-" + "0f" * 9


def basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def asks_basic(server: FaultyRegistry, prefix: str = "/") -> None:
    """Let the server want user ``u`` with the password ``word("pw")``."""

    def gate(seen):
        if not seen.path.startswith(prefix) or seen.authorization == basic("u", word("pw")):
            return None
        return error_reply(401, "UNAUTHORIZED", "log in", WWW_Authenticate='Basic realm="x"')

    server.gate = gate
