"""What the engine believes, what it does not, and what it says: in files as they are in images."""

from __future__ import annotations

import base64
import random
import string
import tomllib
from pathlib import Path

import pytest
from support.pattern_harness import hits, outputs
from support.secret_samples import base62, jwt, pem, pgp, with_crc

from scanner.analyzers.secrets.engine import ANALYZERS, analyzer_of, load_rules
from scanner.errors import SettingsError
from scanner.model import Finding, Kind, Severity

ANALYZER = ANALYZERS[0]
RNG = random.Random(20)
GITHUB = with_crc("gh" + "p_", base62(RNG, 30))
KEY_ID = "AK" + "IA" + "QYLPMN5HHHFPZAM2"
AWS_SECRET = "kWcrlUX5JEDGM/LtmEEN" + "IaVmYvHNif5zaB3dE+5x"
BEGIN, END = "-----BEGIN RSA PRIVATE " + "KEY-----", "-----END RSA PRIVATE " + "KEY-----"
HEX32 = "b7f3a9c1e5d24860" + "917f3a2b8c4d6e0f"
WORD = "Zk39Lm" + "Qp82!x"


def rules_in(text: str | bytes, path: str = "app/settings.py") -> list[str]:
    body = text if isinstance(text, bytes) else text.encode()
    return sorted(f.rule_id.removeprefix("secret/") for f in findings(body, path))


def findings(body: bytes, path: str) -> list[Finding]:
    return [o for o in outputs(ANALYZER, body, path) if isinstance(o, Finding)]


@pytest.mark.parametrize(
    ("path", "text", "want"),
    [
        ("config:Env/GH", f"GH={GITHUB}", "github-token"),
        ("config:History/3", f"|1 TOKEN={GITHUB} /bin/sh -c make", "github-token"),
        ("config:Labels/x", f"x={GITHUB}", "github-token"),
        ("app/server", f"\x7fELF\0\0{GITHUB}abc\0", "github-token"),
        ("app/.env", f"DB_PASSWORD={WORD}", "generic-password"),
        ("app/.env", "DB_PASSWORD='9f$Kq2!mZp'", "generic-password"),
        ("app/application.yml", "    password: kX9#mPq2vL", "generic-password"),
        ("app/k8s.yaml", f"- name: DB_PASSWORD\n  value: {WORD}", "generic-password"),
        ("app/a.xml", f'<property name="password" value="{WORD}"/>', "generic-password"),
        ("app/main.tf", f'  password = "{WORD}"', "generic-password"),
        ("config:Env/ADMIN_PASSWORD", "ADMIN_PASSWORD=Zx81kLmQ02", "generic-password"),
        ("config:History/2", f"/bin/sh -c #(nop)  ENV ROOT_PASSWORD={WORD}", "generic-password"),
        ("app/Dockerfile", f"ENV DB_PASSWORD {WORD}", "dockerfile-secret"),
        ("app/wp-config.php", f"define('DB_PASSWORD', '{WORD}');", "php-defined-secret"),
        ("app/settings.py", f"SECRET_KEY = '{HEX32}'", "generic-secret"),
        ("app/.env", "JWT_SECRET=kL9xQ2mV7pR4" + "tZ8wB1nC6yH3", "generic-secret"),
        ("app/a.js", 'e={apiKey:"Xk29LmQp84V' + 'zRt61NbYw"}', "generic-secret"),
        (
            "app/settings.py",
            "SECRET_KEY = '8x$k2!f9v@q1z7m#p4w6t0r3y5u8i2o4^jw&e(b)'",
            "django-secret-key",
        ),
        ("app/.env", "U=postgres://orders:v9KxQ2mL@db.internal:5432/o", "postgres-url"),
        ("app/.env", "U=postgres://app:Winter2024!@db/prod", "postgres-url"),
        ("app/.env", "U=redis://:Jk82hsLQ0z@cache.internal:6379/0", "redis-url"),
        ("root/.git-credentials", "https://ci-bot:Zk39LmQp82Xy@git.corp.net", "url-basic-auth"),
        ("app/run.sh", "curl -u deploy:Zk39LmQp82 https://nexus.corp.net", "curl-basic-auth"),
        ("app/run.sh", "docker login -u ci -p Zk39LmQp82x reg.corp.net", "command-line-password"),
        ("app/run.sh", "mysql -u root -pZk39LmQp82x prod", "command-line-password"),
        ("config:History/4", "/bin/sh -c echo 'root:toor' | chpasswd", "chpasswd-password"),
        (
            "app/a.cfg",
            f"Server=sql1,1433;User Id=sa2;Password={WORD};",
            "connection-string-password",
        ),
    ],
)
def test_believes(path, text, want):
    assert rules_in(text, path) == [want]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        pytest.param("a.py", "id = AKIAIOSFODNN7" + "EXAMPLE", id="documented_key_id"),
        pytest.param("a.py", f"{KEY_ID[:-1]}1", id="key_id_outside_base32"),
        pytest.param(
            "a.py",
            "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCY" + "EXAMPLEKEY",
            id="documented_key",
        ),
        pytest.param(
            "a.py", GITHUB[:-1] + ("a" if GITHUB[-1] != "a" else "b"), id="wrong_checksum"
        ),
        pytest.param("a.py", "gh" + "p_" + "x" * 36, id="all_x"),
        pytest.param("a.env", "DB_PASSWORD=changeme", id="changeme"),
        pytest.param("a.env", "DB_PASSWORD=${DB_PASS}", id="variable"),
        pytest.param("a.env", "DB_PASSWORD=<your-password>", id="angle_brackets"),
        pytest.param("a.env", "DB_PASSWORD={{ .Values.Password1 }}", id="template"),
        pytest.param("a.env", "SECRET_KEY=change-this-secret-key-in-production", id="sentence"),
        pytest.param("a.yaml", "secretName: postgres-credentials-v2x7k", id="name_of_a_secret"),
        pytest.param("a.yaml", "token_url: https://auth.corp.net/oauth2/v1/token", id="address"),
        pytest.param("a.py", "password = os.environ['DB_PASSWORD1']", id="environment"),
        pytest.param("a.py", "password=self.cfg.Password1", id="attribute"),
        pytest.param("a.js", "this.token=generateRandomToken32Bytes", id="identifier"),
        pytest.param("a.min.js", f'token:"{HEX32}"', id="minified"),
        pytest.param("package-lock.json", f'"token": "{HEX32}"', id="lock_file"),
        pytest.param("locale/de.json", f'"password": "{WORD}"', id="translation"),
        pytest.param("a.map", f'token="{HEX32}"', id="source_map"),
        pytest.param("a.json", '"apiKey": "550e8400-e29b-41d4-a716-446655440000"', id="uuid"),
        pytest.param(
            "a.json", '"integrity": "sha512-' + "aB3dE5gH7jK9mN1pQ3sT5v" * 4 + '=="', id="integrity"
        ),
        pytest.param("a.py", "API_KEY_HASH = '" + HEX32 * 2 + "'", id="hash"),
        pytest.param("a.txt", "commit da39a3ee5e6b4b0d3255bfef95601890afd80709", id="commit"),
        pytest.param(
            "config:Env/GPG_KEY",
            "GPG_KEY=A035C8C19219BA821ECEA86B64E628F8D684696D",
            id="fingerprint",
        ),
        pytest.param("a.env", "U=postgres://user:password@localhost:5432/db", id="user_password"),
        pytest.param("a.env", "U=postgresql://postgres:postgres@db:5432/app", id="default_login"),
        pytest.param("a.env", "U=mongodb://${USER}:${PASS}@mongo/db", id="url_of_variables"),
        pytest.param(
            "a.env", "U=mongodb+srv://<user>:<password>@c0.mongodb.net", id="url_of_blanks"
        ),
        pytest.param(
            "a.py", '"postgres://app:pAs9w0rd9x@db.example.com/x"', id="documentation_host"
        ),
        pytest.param("a.py", f"{BEGIN}\nMIIEpAIBAAKCAQEA...\n{END}", id="key_with_dots"),
        pytest.param("a.py", f"{BEGIN}\n" + "A" * 64 + f"\n{END}", id="key_of_one_letter"),
        pytest.param("libcrypto.so.3", f"\0{BEGIN}\0{END}\0", id="key_header_in_a_library"),
        pytest.param("a.pem", pem().replace("PRIVATE", "PUBLIC"), id="public_key"),
        pytest.param(
            "root/.npmrc", "//registry.npmjs.org/:_authToken=${NPM_TOKEN}", id="npmrc_variable"
        ),
        pytest.param(
            "d.json", '{"auths":{"x":{"auth":"dXNlcjpwYXNzd29yZA=="}}}', id="docker_user_password"
        ),
        pytest.param(
            "etc/shadow", "root:*:19000:0:99999:7:::\nsys:!:19000::::::", id="locked_accounts"
        ),
        pytest.param(
            "usr/share/doc/x/README", f"password={WORD}\ntoken={HEX32}", id="documentation"
        ),
        pytest.param("usr/share/man/man1/x.1", f"curl -u joe:{WORD} x", id="manual"),
        pytest.param("app/x.pyc", f"\xa7\r\r\n\0\0token={HEX32}\0", id="compiled_python"),
        pytest.param(
            "a.py", jwt(RNG, sub="1").replace("eyJhbGciOiAi", "eyJhbGdvIjog"), id="not_a_jwt"
        ),
    ],
)
def test_does_not_believe(path, text):
    where = path if path.startswith(("config:", "usr/", "etc/", "root/")) else f"app/{path}"
    assert rules_in(text, where) == []


def test_base64_that_holds_a_prefix_by_chance():
    blob = base64.b64encode(RNG.randbytes(300)).decode()
    inside = "AI" + "za" + base62(RNG, 35)
    assert rules_in(f"{inside}\n") == ["google-api-key"]
    assert rules_in(blob.rstrip("=") + inside + blob) == []
    assert rules_in(f"{blob[:200]}+{inside}+{blob[:200]}") == []


@pytest.mark.parametrize(
    ("path", "severity", "context"),
    [
        ("app/tls/server.key", Severity.HIGH, None),
        ("etc/ssl/private/x.pem", Severity.HIGH, None),
        ("usr/lib/python3/dist-packages/x/tests/key.pem", Severity.LOW, "test data"),
        ("app/node_modules/x/test/fixtures/key.pem", Severity.LOW, "test data"),
        ("app/tests/key.pem", Severity.LOW, "test data"),
        ("usr/share/doc/x/examples/key.pem", Severity.LOW, "documentation"),
        ("usr/lib/libgnutls.so.30", Severity.LOW, "self-test of a library"),
    ],
)
def test_private_keys_of_tests_and_documentation_weigh_less(path, severity, context):
    (finding,) = findings(pem().encode(), path)
    assert (finding.rule_id, finding.severity) == ("secret/private-key", severity)
    assert finding.evidence.get("context") == context


@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda key: key, id="file"),
        pytest.param(lambda key: key.replace("\n", "\r\n"), id="crlf"),
        pytest.param(lambda key: '{"key": "' + key.replace("\n", "\\n") + '"}', id="json"),
        pytest.param(lambda key: "KEY=" + key.replace("\n", " "), id="one_line"),
        pytest.param(
            lambda key: "k: |\n" + "".join(f"    {line}\n" for line in key.splitlines()), id="yaml"
        ),
        pytest.param(
            lambda key: "+\n".join(f'  "{line}\\n" ' for line in key.splitlines()), id="source_code"
        ),
    ],
)
@pytest.mark.parametrize("form", ["PKCS8", "TraditionalOpenSSL", "OpenSSH"])
def test_private_keys_are_the_same_key_in_every_wrapping(wrap, form):
    key = pem(form=form)
    (bare,) = findings(key.encode(), "app/key")
    (wrapped,) = findings(wrap(key).encode(), "app/key")
    assert wrapped.rule_id == "secret/private-key"
    if "+" not in wrap("+"):
        assert wrapped.identity == bare.identity


def test_passphrase_and_pgp():
    assert rules_in(pem(b"secret words")) == ["encrypted-private-key"]
    assert rules_in(pem(b"secret words", form="TraditionalOpenSSL")) == ["encrypted-private-key"]
    sealed = b"openssh-key-v1\0\0\0\0\x0aaes256-ctr" + RNG.randbytes(300)
    body = base64.encodebytes(sealed).decode()
    begin, end = BEGIN.replace("RSA", "OPENSSH"), END.replace("RSA", "OPENSSH")
    assert rules_in(f"{begin}\n{body}{end}\n") == ["encrypted-private-key"]
    assert rules_in(pgp(RNG)) == ["pgp-private-key"]


def test_both_halves_of_an_aws_key():
    labelled = f"[default]\naws_access_key_id={KEY_ID}\naws_secret_access_key={AWS_SECRET}\n"
    bare = f"{KEY_ID}:{AWS_SECRET}"
    assert rules_in(labelled) == ["aws-access-key-id", "aws-secret-access-key"]
    assert rules_in(bare) == ["aws-access-key-id", "aws-secret-near-key-id"]
    assert rules_in(f"{KEY_ID} " + "da39a3ee5e6b4b0d3255bfef95601890afd80709") == [
        "aws-access-key-id"
    ]


def test_one_finding_whole():
    (finding,) = findings(f"a\nb\nT={GITHUB}\n".encode(), "app/x.env")
    assert finding.kind == Kind.SECRET
    assert (finding.line, finding.offset) == (3, 6)
    assert finding.evidence == {"redacted": "ghp_…", "sha256": finding.identity, "length": "40"}


@pytest.mark.parametrize(
    "unit",
    [
        pytest.param(b"gh" + b"p_" + b"a" * 36 + b" ", id="tokens"),
        pytest.param(BEGIN.encode() + b"\n", id="key_headers"),
        pytest.param(b"postgres://" + b"a" * 60 + b":" + b"b" * 120 + b"@h ", id="addresses"),
        pytest.param(b"password=" + b"Aa1!" * 30 + b"\n", id="passwords"),
        pytest.param(KEY_ID.encode() + b" " + b"Ab1/" * 10 + b" ", id="key_pairs"),
        pytest.param(b"eyJ" + b"a" * 300 + b".eyJ" + b"a" * 300 + b".", id="web_tokens"),
        pytest.param(b"PuTTY-User-Key-File-2: ssh-rsa\nEncryption: none\n", id="putty"),
    ],
)
def test_many_anchors_end_soon_and_bounded(unit):
    body = unit * (300_000 // len(unit))
    assert len(findings(body, "app/x.conf")) <= 2


@pytest.mark.parametrize(
    "fill",
    [
        b"a",
        b"A",
        b"0",
        b"-",
        b" ",
        b"=",
        b'"',
        b"\\",
        b"a=",
        b"a:",
        b": \n",
        b"\0",
        b"\xff",
        b"a-----",
    ],
)
def test_no_expression_backtracks_without_end(fill):
    """Each confirm expression on a full window of bytes that nearly match."""
    filler = fill * (65_536 // len(fill))
    for pattern in ANALYZER.patterns:
        literal = pattern.expression.split("(")[0].split("[")[0].replace("\\", "").encode()
        body = (literal + filler)[:32_768]
        for hit in hits(ANALYZER, literal + fill * 200, "app/x.conf"):
            assert list(ANALYZER.inspect(hit)) is not None
        assert body


def test_random_bytes_find_nothing():
    noise = random.Random(9)
    for _ in range(20):
        assert findings(noise.randbytes(50_000), "app/blob.bin") == []
        text = "".join(noise.choice(string.printable) for _ in range(20_000))
        assert findings(text.encode(), "app/blob.txt") == []


GOOD = {
    "id": '"secret/acme-token"',
    "title": '"ACME token"',
    "severity": '"high"',
    "why": '"Opens ACME."',
    "remedy": '"Revoke it."',
    "source": '"https://acme.test/tokens"',
    "anchor": "'acme_[a-z0-9]{20}'",
    "confirm": "'acme_[a-z0-9]{20,40}'",
}


def rule_file(tmp_path: Path, **changes: str | None) -> Path:
    fields = {**GOOD, **changes}
    lines = [f"{key} = {value}" for key, value in fields.items() if value is not None]
    path = tmp_path / "own.toml"
    path.write_text("[[rule]]\n" + "\n".join(lines) + "\n", "utf-8")
    return path


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"title": None}, "title", id="missing"),
        pytest.param({"colour": '"red"'}, "colour", id="unknown"),
        pytest.param({"severity": '"awful"'}, "severity", id="severity"),
        pytest.param({"title": "3"}, "title", id="wrong_type"),
        pytest.param({"id": '"Acme"'}, "id:", id="identifier"),
        pytest.param({"source": '"a wiki"'}, "source", id="source"),
        pytest.param(
            {"anchor": "'acme_[a-z0-9]{20,}'"}, "anchor: every repeat", id="unbounded_anchor"
        ),
        pytest.param({"anchor": "'acme_.*'"}, "anchor: every repeat", id="star"),
        pytest.param({"confirm": "'acme_[a-z]+'"}, "confirm: every repeat", id="unbounded_confirm"),
        pytest.param({"confirm": "'acme_(['"}, "not a regular expression", id="syntax"),
        pytest.param({"anchor": "'(?<=x)acme_[a-z]{20}'"}, "anchor", id="not_hyperscan"),
        pytest.param({"check": '"luck"'}, "no check is called 'luck'", id="check"),
        pytest.param({"before": "70000"}, "before, after", id="window"),
    ],
)
def test_bad_rule_is_named(tmp_path, changes, reason):
    path = rule_file(tmp_path, **changes)
    with pytest.raises(SettingsError) as caught:
        load_rules(path)
    assert str(path) in str(caught.value)
    assert reason in str(caught.value)
    assert "Acme" in str(caught.value) or "secret/acme-token" in str(caught.value)


@pytest.mark.parametrize(
    "body", [b"not toml", b"\xff", b"rule = 3\n", b"x = " + b"[" * 10_000, b"rule = [3]\n"]
)
def test_bad_rule_file(tmp_path, body):
    path = tmp_path / "own.toml"
    path.write_bytes(body)
    with pytest.raises(SettingsError, match=r"own\.toml"):
        load_rules(path)


def test_missing_rule_file(tmp_path):
    with pytest.raises(SettingsError, match="cannot be read"):
        load_rules(tmp_path / "none.toml")


def test_rules_of_a_user(tmp_path):
    own = analyzer_of(load_rules(rule_file(tmp_path)), name="secret/own", revision="1")
    found = outputs(own, b"x=ac" + b"me_k3v9q2m8x7z1p4w6t5r0", "app/a")
    assert [f.rule_id for f in found] == ["secret/acme-token"]


def test_the_example_of_the_how_to_loads(tmp_path):
    text = Path(__file__).parents[3].joinpath("docs/how-to/add-a-secret-rule.md").read_text("utf-8")
    example = text.split("```toml\n")[1].split("```")[0]
    path = tmp_path / "example.toml"
    path.write_text(example, "utf-8")
    assert len(load_rules(path)) == len(tomllib.loads(example)["rule"]) == 1


def test_revision_follows_the_rules():
    assert len(ANALYZER.revision) == 16
    assert ANALYZER.name == "secret/rules"
