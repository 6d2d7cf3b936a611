"""The small images that the console examples of the documentation and the tests of the commands scan."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from support.image_builder import (
    Entry,
    Image,
    image,
    write_docker_archive,
    write_oci_layout,
    write_tree,
)
from support.pods import MANIFEST
from support.scanning import OS_RELEASE, dpkg_status, layer, python_package

PASSWD = Entry("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/:/bin/sh\n")


POLICY_TEST = """\
version: 1
policy: default
now: 2026-06-01T00:00:00Z
cases:
  - name: a private key denies
    findings:
      - {rule: secret/private-key, kind: secret, severity: high, path: root/deploy.pem}
    expect: {decision: deny, reasons: [credentials]}
  - name: a private key is fine
    findings:
      - {rule: secret/private-key, kind: secret, severity: high, path: root/deploy.pem}
    expect: {decision: allow}
"""


def private_key() -> bytes:
    """Return a key made now: none is ever committed."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )


def demo_image() -> Image:
    """Return an image with packages, and a private key that a newer layer deletes."""
    return image(
        [
            layer(OS_RELEASE, PASSWD, dpkg_status("bash", "zlib1g")),
            layer(Entry("root/deploy.pem", private_key(), mode=0o600), *python_package("flask")),
            layer(Entry("root/.wh.deploy.pem")),
        ],
        {"User": "app"},
    )


def broken_image() -> Image:
    """Return an image with one file that its analyzer cannot read."""
    broken = Entry("app/node_modules/x/package.json", b'{"name": ')
    return image([layer(OS_RELEASE, PASSWD, broken)], {"User": "app"})


def write_demo(directory: Path) -> Path:
    """Write ``demo`` (layout), ``broken.tar`` (docker archive), ``rootfs``, ``policy_test.yaml`` and ``web.yaml``."""
    write_oci_layout({"app": demo_image()}, directory / "demo")
    write_docker_archive(broken_image(), directory / "broken.tar")
    write_tree({"etc/hostname": b"demo\n"}, directory / "rootfs")
    (directory / "policy_test.yaml").write_text(POLICY_TEST)
    (directory / "web.yaml").write_text(MANIFEST)
    return directory
