"""Judge values that have no format of their own: passwords and random-looking assignments.

Source: https://pages.nist.gov/800-63-3/sp800-63b.html#appA (what people choose as passwords)
"""

from __future__ import annotations

import itertools
import re

from scanner.analyzers.secrets._filters import entropy, is_placeholder

_UNLEET = bytes.maketrans(b"0134578@$!", b"oleastbasi")
_STAND_INS = frozenset(
    b"""admin administrator anonymous apikey bar baz basic bearer changeit changeme changethis
    correcthorsebatterystaple database db dbpass dbpassword dbuser default demo development disabled dummy empty
    enabled example false fake foo foobar func function guest hidden hunter key letmein localhost login masked me
    mongo mongodb mypass mypassword mysecret mysecretpassword mysql nil none nopass nopassword null
    object optional oracle pass passphrase passwd password passwords passwort placeholder postgres postgresql private
    process prompt pw pwd rabbitmq redis removed required root sa sample secret secretpassword self
    somepassword string sup supersecret sysadmin test tester testing testpass testpassword testuser
    thepassword this tiger token toor true
    undefined unset user username userpass value xxx yes yourpassword yourpass""".split()
)
_KEY_NOT_SECRET = re.compile(
    rb"(?:hash|digest|sha\d*|md5|checksum|integrity|etag|public|fingerprint|csrf|xsrf|nonce|salt_?length|"
    rb"example|sample|placeholder|dummy|fake|mock|keyboard|keyword|hotkey|monkey|primary_?key|foreign_?key|"
    rb"sort_?key|partition_?key|cache_?key|tokeni[sz]|next_?token|page_?token|continuation|pagination)|"
    rb"(?:[_.-]|(?<=[a-z])(?=[A-Z]))(?:ids?|name|ur[il]|path|file|type|length|len|size|ttl|expir\w*|count|max|min|field|"
    rb"header|regex|pattern|format|policy|class|ref|arn|version|label|title|text|message|hint|description|"
    rb"prefix|suffix|provider|endpoint|method|scope|status|error|rotation|age|dir|at|index|ring|chars?|alphabet)\Z",
    re.IGNORECASE,
)
_UUID = re.compile(rb"[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}\Z", re.IGNORECASE)
_DASHED_UUID = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_HEX = re.compile(rb"(?:0x)?[0-9a-f]+\Z", re.IGNORECASE)
_DIGEST_PREFIX = re.compile(
    rb"sha\d{1,3}[-_:]|md5[-_:]|\$(?:2[abxy]|5|6|y|apr1|argon2)\$|pbkdf2|h1:", re.IGNORECASE
)
_CODE = re.compile(
    rb"[(){}\[\]<>`\\]|^[./~&]|^[A-Za-z_][\w-]*(?:(?:\.|::|->)[A-Za-z_][\w-]*)+$|://|^--|"
    rb"^(?:os|process|env|self|this|config|settings|args|params|request|options|ctx|data)[._\[]"
)
_CONSTANT = re.compile(
    rb"[A-Z][A-Z]*(?:_[A-Z0-9]+)+\Z|[a-z]+(?:[_-][a-z]+)+\Z|[a-z]+(?:[A-Z][a-z]+)+\Z"
)
_DOCUMENTATION_HOST = re.compile(
    rb"(?:^|\.)example(?:\.(?:com|org|net|edu|io))?$|example|\.(?:test|invalid)$|"
    rb"(?:^|\.)(?:company|acme|mydomain|domain|mycompany|foo|bogus)\.(?:com|net|org)$|"
    rb"^(?:host|hostname|server|servername|domain|site|address|ip|foo|bar|proxy)(?:\.(?:com|org|net|local|tld))?$|"
    rb"^(?:your|my)[a-z-]*(?:host|server|domain|proxy|site|company|org|db|database|cluster)"
)


def is_mixed(value: bytes) -> bool:
    """Say whether ``value`` has upper case, lower case and digits."""
    return bool(
        re.search(rb"[A-Z]", value) and re.search(rb"[a-z]", value) and re.search(rb"\d", value)
    )


def is_documentation_host(host: bytes) -> bool:
    """Say whether ``host`` (lower case, no port) is one of documentation."""
    return bool(_DOCUMENTATION_HOST.search(host))


def is_password(password: bytes, user: bytes = b"") -> bool:
    """Say whether a person or program could have meant ``password`` as one, and not as a stand-in."""
    if len(password) < 5 or password.lower() == user.lower() or is_placeholder(password):
        return False
    if _CONSTANT.match(password) or re.search(rb"[*]{3}|[\x00-\x1f]|^[.\-_]|^(.)\1{4}", password):
        return False
    lower = password.lower()
    plain = (re.sub(rb"[^a-z]", b"", lower), re.sub(rb"[^a-z]", b"", lower.translate(_UNLEET)))
    shortened = re.sub(rb"[^a-z]", b"", re.sub(rb"[\d\W_]+\Z", b"", lower).translate(_UNLEET))
    return not _STAND_INS.intersection((*plain, shortened))


def is_code(value: bytes) -> bool:
    """Say whether ``value`` reads as an expression, a path or an address, not as a value."""
    return bool(_CODE.search(value) or _DASHED_UUID.search(value) or not value.isascii())


def is_strong_password(value: bytes, key: bytes) -> bool:
    """Say whether ``key = value`` sets a password of some strength, in no programming language."""
    return not is_code(value) and is_strong_value(value, key)


def is_strong_value(value: bytes, key: bytes) -> bool:
    """Say whether ``key`` is set to a text of some strength, whatever characters it holds."""
    if _KEY_NOT_SECRET.search(key) or _DIGEST_PREFIX.match(value):
        return False
    classes = sum(
        bool(re.search(c, value)) for c in (rb"[a-z]", rb"[A-Z]", rb"\d", rb"[^A-Za-z0-9]")
    )
    strong = classes >= 3 or (
        classes == 2 and bool(re.search(rb"\d", value)) and entropy(value) >= 2.7
    )
    return strong and is_password(value)


def is_random_value(value: bytes, key: bytes) -> bool:
    """Say whether ``key = value`` sets something drawn at random: no hash, UUID, path or identifier."""
    if _KEY_NOT_SECRET.search(key) or _DIGEST_PREFIX.match(value) or _DASHED_UUID.search(value):
        return False
    if not re.search(rb"\d", value) or not re.search(rb"[A-Za-z]", value):
        return False
    if _HEX.match(value):
        return len(value) >= 32 and entropy(value) >= 3.0 and not is_placeholder(value)
    if value[:1] in b"/." or _UUID.match(value):
        return False
    return entropy(value) >= (3.3 if len(value) < 24 else 3.7) and _is_jumbled(value)


def _is_jumbled(value: bytes) -> bool:
    """Say whether classes change as often as in random text, and no words stand out."""
    letters = re.sub(rb"[^A-Za-z0-9]", b"", value)
    if len(letters) * 4 < len(value) * 3 or is_placeholder(value):
        return False
    kinds = letters.translate(_KINDS)
    changes = sum(a != b for a, b in itertools.pairwise(kinds))
    digits = kinds.count(b"d")
    share = changes / len(letters)
    return share >= 0.25 if digits >= 2 else share >= 0.4


_KINDS = bytes(
    ord("d") if chr(c).isdigit() else ord("u") if chr(c).isupper() else ord("l") for c in range(256)
)
