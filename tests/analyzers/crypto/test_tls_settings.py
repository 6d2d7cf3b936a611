"""TLS settings of servers and libraries: wrong ones and their look-alikes."""

from __future__ import annotations

import pytest

from scanner.analyzers.crypto.settings import ANALYZERS, weak_ciphers
from scanner.ports import LayerFile

BY_NAME = {a.name.removeprefix("crypto/").removesuffix("-settings"): a for a in ANALYZERS}
BROKEN, OLD = "crypto/broken-tls-protocol", "crypto/old-tls-protocol"
CIPHER, POLICY, VERIFY = "crypto/weak-tls-cipher", "crypto/weak-crypto-policy", "crypto/tls-verification-off"  # fmt: skip
JAVA = "jdk.tls.disabledAlgorithms=SSLv3, TLSv1, \\\n    RC4, DES\njdk.certpath.disabledAlgorithms=MD2, MD5\n"


@pytest.mark.parametrize(
    ("name", "body", "want"),
    [
        pytest.param("openssl", "[system]\nMinProtocol = TLSv1.2\nCipherString = DEFAULT@SECLEVEL=2\n", [], id="openssl_fine"),
        pytest.param("openssl", "# MinProtocol = SSLv3\n#legacy = legacy_sect\n", [], id="openssl_comments"),
        pytest.param("openssl", "MinProtocol = TLSv1.0", [OLD], id="openssl_tls10"),
        pytest.param("openssl", "MinProtocol=SSLv3", [BROKEN], id="openssl_ssl3"),
        pytest.param("openssl", "CipherString = DEFAULT:@SECLEVEL=0", [CIPHER], id="openssl_seclevel"),
        pytest.param("openssl", "CipherString = DEFAULT@SECLEVEL=1", [CIPHER], id="openssl_seclevel_1"),
        pytest.param("openssl", "legacy = legacy_sect", [POLICY], id="openssl_legacy"),
        pytest.param("openssl", "default = default_sect\ndefault_md = sha256", [], id="openssl_default"),
        pytest.param("openssl", "default_md = md5", [POLICY], id="openssl_md5"),
        pytest.param("nginx", "ssl_protocols TLSv1.2 TLSv1.3;\nssl_ciphers HIGH:!aNULL:!MD5;", [], id="nginx_fine"),
        pytest.param("nginx", "ssl_protocols TLSv1 TLSv1.1 TLSv1.2; # Dropping SSLv3, ref: POODLE", [OLD], id="nginx_old"),
        pytest.param("nginx", "server { listen 443 ssl; ssl_protocols SSLv3 TLSv1; }", [BROKEN], id="nginx_one_line"),
        pytest.param("nginx", "ssl_ciphers 'ECDHE-RSA-AES128-SHA:DES-CBC3-SHA';", [CIPHER], id="nginx_3des"),
        pytest.param("nginx", "#ssl_protocols SSLv3;", [], id="nginx_comment"),
        pytest.param("apache", "SSLProtocol all -SSLv3 -TLSv1\nSSLCipherSuite HIGH:!aNULL\n#SSLProtocol SSLv3", [], id="apache_fine"),
        pytest.param("apache", "SSLProtocol +SSLv3", [BROKEN], id="apache_ssl3"),
        pytest.param("apache", "SSLProtocol TLSv1 TLSv1.2", [OLD], id="apache_tls1"),
        pytest.param("apache", "SSLCipherSuite ALL:!ADH:RC4+RSA:+HIGH", [CIPHER], id="apache_rc4"),
        pytest.param("apache", "SSLProxyVerify none", [VERIFY], id="apache_proxy"),
        pytest.param("haproxy", "ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets", [], id="haproxy_fine"),
        pytest.param("haproxy", "ssl-default-bind-options ssl-min-ver TLSv1.0", [OLD], id="haproxy_old"),
        pytest.param("haproxy", "server a 10.0.0.1:443 ssl verify none", [VERIFY], id="haproxy_verify"),
        pytest.param("haproxy", "ssl-default-bind-ciphers ECDHE+AESGCM:RC4-SHA", [CIPHER], id="haproxy_ciphers"),
        pytest.param("gnutls", "[overrides]\ndisabled-version = tls1.0\ntls-disabled-mac = sha1", [], id="gnutls_fine"),
        pytest.param("gnutls", "SYSTEM=NORMAL:+ARCFOUR-128", [POLICY], id="gnutls_rc4"),
        pytest.param("policy", "# DEFAULT\nDEFAULT:SHA1\n", [], id="policy_default"),
        pytest.param("policy", "LEGACY\n", [POLICY], id="policy_legacy"),
        pytest.param("java", JAVA, [], id="java_fine"),
        pytest.param("java", "jdk.tls.disabledAlgorithms=\n", [POLICY], id="java_emptied"),
        pytest.param("java", "jdk.tls.disabledAlgorithms=SSLv3\n", [POLICY], id="java_without_rc4"),
        pytest.param("java", "#jdk.tls.disabledAlgorithms=\nsecurerandom.source=file:/dev/random\n", [], id="java_not_set"),
        pytest.param("java", "", [], id="java_empty"),
        pytest.param("nginx", "ssl_ciphers ;\nssl_protocols\nssl_protocols ;;;\n\0", [], id="bad_lines"),
        pytest.param("openssl", "CipherString = " + ":" * 1_000_000, [], id="long_line"),
        pytest.param("java", "\\\n" * 100_000, [], id="java_continued"),
    ],
)  # fmt: skip
def test_settings(name, body, want):
    out = list(BY_NAME[name].parse(LayerFile("etc/x", body.encode())))
    assert [f.rule_id for f in out] == want


@pytest.mark.parametrize("analyzer", ANALYZERS, ids=lambda a: a.name)
def test_not_utf8(analyzer):
    assert list(analyzer.parse(LayerFile("etc/x", b"\xff\xfe\0\x80" * 1000))) == []


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("HIGH:!aNULL:!MD5:-RC4", []),
        ("ECDHE-ECDSA-AES256-GCM-SHA384", []),
        ("eNULL, EXP-RC4-MD5 DES-CBC3-SHA", ["eNULL", "EXP-RC4-MD5", "DES-CBC3-SHA"]),
        ("", []),
    ],
    ids=["removed", "fine", "weak", "empty"],
)
def test_weak_ciphers(text, want):
    assert weak_ciphers(text) == want
