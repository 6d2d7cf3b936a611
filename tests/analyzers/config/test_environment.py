"""Environment and build arguments: what is reported, what looks alike, and that no value leaks."""

from __future__ import annotations

import hashlib

import pytest
from support.image_view import StillImage

from scanner.analyzers.config.environment import ANALYZERS
from scanner.model import HistoryEntry, ImageConfig, Severity

(ENVIRONMENT,) = ANALYZERS
VALUE = "hunter2-" + "q" * 20


def findings(*env, history=()):
    steps = tuple(HistoryEntry(created_by=step) for step in history)
    return list(ENVIRONMENT.inspect(StillImage(config=ImageConfig(env=env, history=steps))))


@pytest.mark.parametrize(
    ("variable", "want"),
    [
        pytest.param(f"DB_PASSWORD={VALUE}", ["config/secret-in-env"], id="password"),
        pytest.param(f"github_token={VALUE}", ["config/secret-in-env"], id="lower_case"),
        pytest.param(f"AWS_SECRET_ACCESS_KEY={VALUE}", ["config/secret-in-env"], id="aws"),
        pytest.param(f"PGPASSWORD={VALUE}", ["config/secret-in-env"], id="no_underscore"),
        pytest.param("MYSQL_ROOT_PASSWORD=1234", ["config/secret-in-env"], id="short_value"),
        pytest.param("DB_PASSWORD=", [], id="empty"),
        pytest.param("DB_PASSWORD=changeme", [], id="placeholder"),
        pytest.param("DB_PASSWORD=${OTHER}", [], id="reference"),
        pytest.param("DB_PASSWORD=<your password>", [], id="angle_brackets"),
        pytest.param("API_TOKEN=/run/secrets/token", [], id="path"),
        pytest.param("DB_PASSWORD_FILE=/run/x", [], id="file"),
        pytest.param("TOKEN_TTL=3600", [], id="about_a_token"),
        pytest.param("GPG_KEY=A035C8C19219BA821ECEA86B64E628F8D684696D", [], id="public_key_id"),
        pytest.param("PWD=/app", [], id="pwd"),
        pytest.param(f"COMPASS={VALUE}", [], id="name_that_ends_alike"),
        pytest.param("no equals sign PASSWORD", [], id="no_equals"),
        pytest.param("=x", [], id="no_name"),
        pytest.param("", [], id="nothing"),
        pytest.param("\udcff_PASSWORD=\udcfe\udcff", ["config/secret-in-env"], id="not_utf8"),
        pytest.param("LD_PRELOAD=/tmp/x.so", ["config/ld-preload"], id="preload"),
        pytest.param("LD_PRELOAD=", [], id="no_preload"),
        pytest.param("PATH=/usr/bin:/bin", [], id="path_fine"),
        pytest.param("PATH=/usr/bin:.", ["config/unsafe-path"], id="path_dot"),
        pytest.param("PATH=/usr/bin::/bin", ["config/unsafe-path"], id="path_empty_part"),
        pytest.param("PATH=/tmp/bin:/bin", ["config/unsafe-path"], id="path_tmp"),
        pytest.param("PATH=/tmpfiles:/bin", [], id="path_not_tmp"),
        pytest.param("HTTP_PROXY=http://u:p4ss@proxy:3128", ["config/proxy-credentials"], id="proxy"),
        pytest.param("https_proxy=http://proxy:3128", [], id="proxy_without"),
        pytest.param("NODE_TLS_REJECT_UNAUTHORIZED=0", ["crypto/tls-verification-off"], id="node_tls"),
        pytest.param("NODE_TLS_REJECT_UNAUTHORIZED=1", [], id="node_tls_on"),
        pytest.param("GIT_SSL_NO_VERIFY=true", ["crypto/tls-verification-off"], id="git"),
        pytest.param("GIT_SSL_NO_VERIFY=false", [], id="git_on"),
        pytest.param("MYSQL_ALLOW_EMPTY_PASSWORD=yes", ["config/empty-password-allowed"], id="mysql"),
        pytest.param("ALLOW_EMPTY_PASSWORD=no", [], id="not_allowed"),
        pytest.param("POSTGRES_HOST_AUTH_METHOD=trust", ["config/empty-password-allowed"], id="postgres"),
        pytest.param("FLASK_DEBUG=1", ["config/debug-enabled"], id="debug"),
        pytest.param("NODE_ENV=production", [], id="production"),
        pytest.param("ASPNETCORE_ENVIRONMENT=Development", ["config/debug-enabled"], id="development"),
    ],
)  # fmt: skip
def test_variables(variable, want):
    assert [f.rule_id for f in findings(variable)] == want


def test_allocators_are_only_mentioned():
    (found,) = findings("LD_PRELOAD=/usr/lib/libjemalloc.so.2")
    assert found.severity is Severity.INFO


@pytest.mark.parametrize(
    ("step", "want"),
    [
        pytest.param(f"RUN |1 TOKEN={VALUE} /bin/sh -c make # buildkit", [VALUE], id="buildkit"),
        pytest.param(f"|2 A=1 NPM_TOKEN={VALUE} /bin/sh -c npm ci", [VALUE], id="legacy"),
        pytest.param(f"/bin/sh -c #(nop)  ARG TOKEN={VALUE}", [VALUE], id="default_of_arg"),
        pytest.param(f"RUN |1 A=1 /bin/sh -c TOKEN={VALUE} make", [], id="command_is_not_an_argument"),
        pytest.param("RUN |1 TOKEN= /bin/sh -c x", [], id="empty"),
        pytest.param("RUN |99999999999 ", [], id="count_only"),
        pytest.param("|1 " + "A=" * 50_000, [], id="long"),
        pytest.param("", [], id="nothing"),
    ],
)  # fmt: skip
def test_build_arguments(step, want):
    out = findings(history=["CMD x", step, step])
    assert [(f.rule_id, f.path, f.identity) for f in out] == [
        ("config/secret-in-build-arg", "config:History/1", hashlib.sha256(v.encode()).hexdigest())
        for v in want
    ]


def test_no_value_in_a_finding():
    out = findings(
        f"DB_PASSWORD={VALUE}", f"HTTP_PROXY=http://u:{VALUE}@h:1", history=[f"|1 TOKEN={VALUE} x"]
    )
    assert len(out) == 3
    assert VALUE not in repr(out)
    assert out[0].evidence["redacted"] == "hu…"
