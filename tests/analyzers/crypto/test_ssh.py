"""SSH settings: wrong ones, commented ones, and lists that only remove."""

from __future__ import annotations

import pytest

from scanner.analyzers.crypto.ssh import ANALYZERS
from scanner.ports import LayerFile

SERVER, CLIENT = ANALYZERS


@pytest.mark.parametrize(
    ("analyzer", "body", "want"),
    [
        pytest.param(SERVER, "#PermitRootLogin yes\n# Ciphers 3des-cbc\n", [], id="comments"),
        pytest.param(SERVER, "PermitRootLogin prohibit-password\nUsePAM yes\n", [], id="defaults"),
        pytest.param(SERVER, "\n PermitRootLogin  yes # x\n", [("privilege/ssh-root-login", 2, "PermitRootLogin yes")], id="root"),
        pytest.param(SERVER, "permitrootlogin=yes\n", [("privilege/ssh-root-login", 1, "permitrootlogin yes")], id="equals"),
        pytest.param(SERVER, "PasswordAuthentication yes", [("privilege/ssh-password-login", 1, "PasswordAuthentication yes")], id="password"),
        pytest.param(SERVER, "PermitEmptyPasswords yes", [("privilege/ssh-empty-password", 1, "PermitEmptyPasswords yes")], id="empty"),
        pytest.param(SERVER, "Protocol 2,1", [("crypto/ssh-protocol-1", 1, "Protocol 2,1")], id="protocol"),
        pytest.param(SERVER, "Protocol 2", [], id="protocol_2"),
        pytest.param(SERVER, "Ciphers aes256-gcm@openssh.com,3des-cbc,arcfour256", [("crypto/weak-ssh-algorithm", 1, "Ciphers 3des-cbc,arcfour256")], id="ciphers"),
        pytest.param(SERVER, "Ciphers -3des-cbc", [], id="removed"),
        pytest.param(SERVER, "KexAlgorithms +diffie-hellman-group1-sha1", [("crypto/weak-ssh-algorithm", 1, "KexAlgorithms diffie-hellman-group1-sha1")], id="kex"),
        pytest.param(SERVER, "MACs hmac-sha2-256,hmac-sha1", [], id="macs_fine"),
        pytest.param(CLIENT, "StrictHostKeyChecking no", [("crypto/ssh-host-key-unchecked", 1, "StrictHostKeyChecking no")], id="client"),
        pytest.param(CLIENT, "StrictHostKeyChecking accept-new\nPasswordAuthentication yes", [], id="client_fine"),
        pytest.param(SERVER, "Ciphers\nCiphers =\n=\n\0\n\ufffd", [], id="bad_lines"),
        pytest.param(SERVER, "Ciphers " + "," * 1_000_000, [], id="long_line"),
    ],
)  # fmt: skip
def test_settings(analyzer, body, want):
    out = analyzer.parse(LayerFile("etc/ssh/config", body.encode("utf-8", "replace")))
    assert [(f.rule_id, f.line, f.evidence["setting"]) for f in out] == want


def test_examples_are_in_force_nowhere():
    file = LayerFile("usr/share/doc/ssh/sshd_config", b"PermitRootLogin yes\n")
    assert list(SERVER.parse(file)) == []
