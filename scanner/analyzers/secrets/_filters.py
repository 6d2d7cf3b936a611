"""Tell secrets from what only looks like one: placeholders, examples, blobs, documentation, tests.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/security-creds.html (the EXAMPLE convention)
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter

_STRONG = re.compile(
    rb"example|placeholder|change_?-?me|redacted|dummy|sample|not_?-?(?:a_?-?)?(?:real|secret|valid)|"
    rb"(?:your|insert|replace|enter)[_-](?=.{3})|your(?:api|secret|token|key|pass|own)|"
    rb"(?:my|put)[_-]?(?:api|app|secret|token|key|pass|user|db|super)|"
    rb"x{6}|\*{3}|\.{3}|_here\b|-here\b|todo|fixme|foobar|lorem|deadbeef|cafebabe|"
    rb"abcdefgh|12345678|87654321|01234567|qwerty|asdfgh|0{8}|undefined|null_",
    re.IGNORECASE,
)
_WORDS = re.compile(
    rb"access|account|admin|api|auth|bearer|client|cloud|code|config|credential|data|default|demo|dev|"
    rb"env|fake|file|from|goes|hash|here|key|live|long|name|null|pass(?:word|wd)?|private|prod|public|"
    rb"random|real|secret|server|service|some|string|super|test|this|token|user|value|very|with|your",
    re.IGNORECASE,
)
_WELL_KNOWN = re.compile(
    rb"d41d8cd98f00b204e9800998ecf8427e|da39a3ee5e6b4b0d3255bfef95601890afd80709|"  # digests of nothing
    rb"e3b0c44298fc1c149afbf4c8996fb924|Eby8vdM02xNOcqFlqUwJ|C2y6yDjf5/R\+ob0N8A7C|"  # emulators' keys
    rb"2YotnFZFEjr1zCsicMWpAA|tGzv3JOkF0XG5Qx2TlKWIA|czZCaGRSa3F0Mzpn|SplxlOBeZQQYbYS6WxSbIA|"  # RFC 6749
    rb"eyJzdWIiOiIxMjM0NTY3ODkwIiwi|eyJzb21lIjoicGF5bG9hZCJ9|eyJpc3MiOiJqb2UiLA0KICJleHAi"  # JWT tutorials
)
_TEMPLATE = re.compile(
    rb"\$\{|\$\(|\{\{|\{%|<%|%\(|#\{|^\$\w|<[a-z][\w .-]{0,40}>|%s(?:\W|\Z)|\{[\w.]{0,40}\}|@[A-Z_]{3,40}@",
    re.IGNORECASE,
)
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BLOB_BYTES = 48

_DOCUMENTATION = re.compile(r"(?:^|/)share/(?:doc|man|info|gtk-doc|help)/|^usr/local/man/")
_THIRD_PARTY = re.compile(
    r"^usr/(?:local/)?(?:lib|lib64|libexec|include|share|src|go)/|"
    r"(?:^|/)(?:\.rustup|\.pyenv|\.nvm|site-packages|dist-packages|node_modules|"
    r"gems|vendor|go/pkg/mod|\.cargo/registry|\.m2/repository|lib/python\d[\d.]*|perl5?|conda/pkgs)/"
)
_PROSE = re.compile(r"(?:^|/)docs?/|\.(?:md|mdx|rst|html?|d\.[cm]?ts)$", re.IGNORECASE)
"""Of code of others: what tells how to use it."""
_TEST_DATA = re.compile(
    r"(?:^|/)(?:_?tests?|testing|testdata|test[-_]data|test[-_]?suite|unit[-_]?tests?|__tests__|fixtures?|"
    r"specs?|examples?|samples?|demos?|mocks?|__mocks__|testutils?|certs[-_]test|selftests?)/|"
    r"(?:^|/)(?:test_[^/]*|[^/]*_test|[^/]*[._-](?:test|spec|example|sample))\.[a-z0-9]{1,5}$",
    re.IGNORECASE,
)
_LIBRARY = re.compile(r"(?:^|/)lib[^/]*\.(?:so[.\d]*|a)$")
_LOOK_ALIKE_FILES = re.compile(
    r"(?:^|/)(?:package-lock\.json|npm-shrinkwrap\.json|yarn\.lock|pnpm-lock\.yaml|Cargo\.lock|poetry\.lock|"
    r"uv\.lock|Pipfile\.lock|composer\.lock|Gemfile\.lock|go\.sum|RECORD|INSTALLER|\.package-lock\.json|"
    r"CHANGE(?:S|LOG)[^/]*|NEWS[^/]*|README[^/]*|HISTORY[^/]*|LICEN[CS]E[^/]*)$|"
    r"\.(?:map|po|pot|mo|min\.js|min\.css|css|svg|pyc|pyo|md|rst|adoc|html?|xliff?|strings|ipynb|lock|sum|"
    r"d\.ts|pyi|proto|h|hpp|tmpl|j2|jinja2?|erb|template|dist|sample|example)$|"
    r"(?:^|/)(?:locales?|i18n|l10n|lang|translations?|LC_MESSAGES|var/lib/dpkg/info|bash-completion|zsh)/",
)

_CODE_FILES = re.compile(
    r"\.(?:py|pyc|pyi|pm|pl|pod|t|rb|js|mjs|cjs|ts|tcl|tm|lua|java|jar|class|go|rs|c|cc|cpp|h|hpp|php|el|elc|vim|sh|r|"
    r"so[.\d]*|a|o|txt|md|rst|html?|gz|xml\.in|1|3|5|7|8)$",
    re.IGNORECASE,
)


def entropy(value: bytes) -> float:
    """Return the Shannon entropy of ``value`` in bits per byte."""
    total = len(value)
    return -sum(n / total * math.log2(n / total) for n in Counter(value).values()) if total else 0.0


def is_placeholder(secret: bytes) -> bool:
    """Say whether ``secret`` is a stand-in that a person or a template wrote."""
    body = secret[-512:]
    return bool(
        _STRONG.search(body)
        or _TEMPLATE.search(body)
        or is_repetitive(body)
        or is_wordy(body)
        or longest_sequence(body) >= 8
    )


def is_well_known(secret: bytes) -> bool:
    """Say whether ``secret`` is a published example, an emulator's key or the digest of nothing."""
    return bool(_WELL_KNOWN.search(secret[:512]))


def is_repetitive(value: bytes) -> bool:
    """Say whether ``value`` is one byte many times, a short block repeated, or nearly so."""
    if re.search(rb"(.)\1{6}", value, re.DOTALL):
        return True
    half = len(value) // 2
    return any(value[p:] == value[:-p] for p in range(1, min(half, 24) + 1)) if value else True


def is_wordy(value: bytes) -> bool:
    """Say whether common words of placeholders make up most of ``value``."""
    letters = sum(map(len, _WORDS.findall(value)))
    return letters >= 8 and letters * 10 >= len(value) * 4


def longest_sequence(value: bytes) -> int:
    """Return the length of the longest run of consecutive code points, up or down (``abcdef``: 6)."""
    best = run = 1
    previous_step = 0
    for left, right in itertools.pairwise(value):
        step = right - left
        run = (run + 1 if step == previous_step else 2) if step in {1, -1} else 1
        previous_step = step
        best = max(best, run)
    return best


def is_in_blob(window: bytes, start: int, end: int) -> bool:
    """Say whether ``window[start:end]`` lies inside a long run of base64: then it is chance."""
    left = window[max(0, start - _BLOB_BYTES) : start]
    right = window[end : end + _BLOB_BYTES]
    return any(len(side) == _BLOB_BYTES and not side.strip(_BASE64) for side in (left, right))


def context_of(path: str, *, is_private_key: bool = False) -> str:
    """Return in a word or two why a file's secrets are hardly in use; empty where they may be."""
    if _DOCUMENTATION.search(path) or (_THIRD_PARTY.search(path) and _PROSE.search(path)):
        return "documentation"
    if _TEST_DATA.search(path) and (is_private_key or _THIRD_PARTY.search(path)):
        return "test data"
    if is_private_key and _LIBRARY.search(path):
        return "self-test of a library"
    return ""


def breeds_look_alikes(path: str) -> bool:
    """Say whether the file's path promises look-alikes of low-confidence rules."""
    return bool(
        _LOOK_ALIKE_FILES.search(path)
        or _DOCUMENTATION.search(path)
        or _TEST_DATA.search(path)
        or _THIRD_PARTY.search(path)
    )


def teaches_passwords(path: str) -> bool:
    """Say whether the file is documentation or code of others, where passwords are examples."""
    examples = _THIRD_PARTY.search(path) or _TEST_DATA.search(path)
    return bool(_DOCUMENTATION.search(path) or (examples and _CODE_FILES.search(path)))


def redacted(secret: bytes) -> str:
    """Return the first characters of a long secret, never more than a quarter of it or four."""
    if len(secret) < 16:
        return "…"
    return "".join(chr(c) if 0x21 <= c < 0x7F else "." for c in secret[:4]) + "…"
