"""Who the image runs as, and accounts that are root or have no password."""

from __future__ import annotations

import pytest
from support.image_view import still_image

from scanner.analyzers.config.user import ANALYZERS
from scanner.model import ImageConfig, Kept, Platform
from scanner.ports import LayerFile

PASSWD, SHADOW, GROUP, USER = ANALYZERS
FILE = b"root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/:/bin/sh\ntoor:x:0:0::/:/bin/sh\n123:x:0:0::/:/bin/sh\n"


def rules(user, passwd=FILE, os="linux"):
    files = {"etc/passwd": passwd} if passwd is not None else {}
    config = ImageConfig(user=user, platform=Platform(os=os))
    return [f.rule_id for f in USER.inspect(still_image(files, key="passwd", config=config))]


@pytest.mark.parametrize(
    ("user", "want"),
    [
        pytest.param("", ["config/root-user"], id="unset"),
        pytest.param("0", ["config/root-user"], id="uid_0"),
        pytest.param("00", ["config/root-user"], id="uid_00"),
        pytest.param("root", ["config/root-user"], id="root"),
        pytest.param("0:0", ["config/root-user"], id="uid_and_group"),
        pytest.param("root:app", ["config/root-user"], id="root_and_group"),
        pytest.param("toor", ["config/root-user"], id="another_name_of_uid_0"),
        pytest.param("123", ["config/root-user"], id="a_name_of_digits_wins"),
        pytest.param("app", [], id="name"),
        pytest.param("app:0", [], id="name_and_root_group"),
        pytest.param("1000", [], id="known_uid"),
        pytest.param("65532:65532", [], id="unknown_uid_is_fine"),
        pytest.param("nobody", ["config/user-unknown"], id="unknown_name"),
        pytest.param("9" * 5000, ["config/user-unknown"], id="number_beyond_any_uid"),
        pytest.param("²", ["config/user-unknown"], id="digit_that_is_no_number"),
    ],
)
def test_effective_user(user, want):
    assert rules(user) == want


def test_name_without_passwd_is_unknown():
    assert rules("app", None) == ["config/user-unknown"]
    assert rules("1000", None) == []


def test_windows_images_have_no_root():
    assert rules("", os="windows") == []


def test_passwd_behind_a_symlink():
    view = still_image(
        {"usr/etc/passwd": b"app:x:0:0::/:/bin/sh\n"},
        key="passwd",
        symlinks={"etc": "usr/etc"},
        config=ImageConfig(user="app"),
    )
    assert [f.rule_id for f in USER.inspect(view)] == ["config/root-user"]


@pytest.mark.parametrize(
    ("analyzer", "body", "want"),
    [
        pytest.param(PASSWD, b"root:x:0:0:root:/root:/bin/sh\n", [], id="plain"),
        pytest.param(PASSWD, FILE, [("privilege/second-root", "toor", 3), ("privilege/second-root", "123", 4)], id="second_roots"),
        pytest.param(PASSWD, b"eve::1000:1000::/:/bin/sh\n", [("privilege/empty-password", "eve", 1)], id="empty_password"),
        pytest.param(PASSWD, b"eve::1000:1000::/:/usr/sbin/nologin\n", [], id="empty_but_no_log_in"),
        pytest.param(PASSWD, b"\n# note:x:0:0\n+::::::\nshort:x\n:x:0:0::/:\n\xff\xfe:x:-1:0::/:\na:x:" + b"9" * 9999 + b":0::/:\n", [], id="bad_lines"),
        pytest.param(PASSWD, b"", [], id="empty"),
        pytest.param(SHADOW, b"root:*:19000:0:99999:7:::\nx:!:1:0:9:7:::\n", [], id="locked"),
        pytest.param(SHADOW, b"root:::0:::::\n", [("privilege/empty-password", "root", 1)], id="empty_shadow"),
    ],
)  # fmt: skip
def test_accounts(analyzer, body, want):
    out = [o for o in analyzer.parse(LayerFile("etc/file", body)) if not isinstance(o, Kept)]
    assert [(f.rule_id, f.identity, f.line) for f in out] == want


def test_passwd_and_group_are_kept_without_texts_and_shadow_is_not():
    passwd = b"#x\nroot:hash:0:0:Some One:/root:/bin/sh\n\napp::1:2\n"
    assert next(iter(PASSWD.parse(LayerFile("etc/passwd", passwd)))) == Kept(
        key="passwd", path="etc/passwd", data=b"\nroot::0:0:::\n\napp::1:2\n"
    )
    assert list(GROUP.parse(LayerFile("etc/group", b"a:hash:1:b,c\n"))) == [
        Kept(key="group", path="etc/group", data=b"a::1:b,c\n")
    ]
    assert list(SHADOW.parse(LayerFile("etc/shadow", b"a:!:1::::::\n"))) == []
