"""Settings: file before environment before options, typed, and every defect named with its place."""

from __future__ import annotations

import msgspec
import pytest

from scanner.config import (
    Settings,
    WebhookSettings,
    default_files,
    explain_settings,
    load_settings,
)
from scanner.errors import SettingsError

NOWHERE = {"XDG_CONFIG_HOME": "/nonexistent"}
PASSWORD = "correct-horse"


@pytest.fixture
def file(tmp_path):
    def write(text, name="scanner.toml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_defaults():
    assert load_settings(None, {}, NOWHERE) == Settings()


def test_a_later_one_wins(file):
    text = (
        '[scan]\nfail_on = "low"\nlayers_parallel = 3\noffline = true\n[registry]\nusername = "x"\n'
    )
    environment = {
        **NOWHERE,
        "SCANNER_SCAN_FAIL_ON": "high",
        "SCANNER_SCAN_LAYERS_PARALLEL": "4",
        "SCANNER_SCAN_OFFLINE": "false",
    }
    got = load_settings(file(text), {"scan.fail_on": "critical"}, environment)
    assert got.scan.fail_on == "critical"
    assert got.scan.layers_parallel == 4
    assert got.scan.offline is False
    assert got.registry.username == "x"


def test_where_files_are_looked_for(tmp_path):
    environment = {"XDG_CONFIG_HOME": str(tmp_path), "HOME": "/home/x"}
    below = tmp_path / "scanner/scanner.toml"
    assert [str(p) for p in default_files(environment)] == [
        str(below),
        "/etc/scanner/scanner.toml",
    ]
    assert str(default_files({"HOME": "/home/x"})[0]) == "/home/x/.config/scanner/scanner.toml"
    below.parent.mkdir()
    below.write_text("[scan]\nlayers_parallel = 7\n")
    assert load_settings(None, {}, environment).scan.layers_parallel == 7


def test_file_named_by_the_environment(file):
    path = file("[scan]\nlayers_parallel = 7\n")
    assert load_settings(None, {}, {"SCANNER_CONFIG": str(path)}).scan.layers_parallel == 7
    other = file("[scan]\nlayers_parallel = 8\n", "other.toml")
    assert load_settings(other, {}, {"SCANNER_CONFIG": str(path)}).scan.layers_parallel == 8


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("a.example,b.example:5000", ("a.example", "b.example:5000")),
        (" a.example , ", ("a.example",)),
        ("", ()),
    ],
)
def test_lists_of_the_environment(text, want):
    got = load_settings(None, {}, {**NOWHERE, "SCANNER_REGISTRY_INSECURE": text})
    assert got.registry.insecure == want


@pytest.mark.parametrize(
    ("name", "text", "want"),
    [
        ("limits.layer_bytes", "1000", 1000),
        ("limits.scan_seconds", "1.5", 1.5),
        ("scan.offline", "true", True),
        ("scan.offline", "1", True),
        ("registry.retries_count", "0", 0),
    ],
)
def test_types_of_the_environment(name, text, want):
    section, _, key = name.partition(".")
    variable = f"SCANNER_{section}_{key}".upper()
    got = load_settings(None, {}, {**NOWHERE, variable: text})
    assert getattr(getattr(got, section), key) == want


BAD_FILES = {
    "not_toml": (b"[scan\n", "not TOML"),
    "not_utf8": (b"\xff\xfe", "not TOML"),
    "deep": (b"a = " + b"[" * 20_000, "not TOML"),
    "no_section": (b'fail_on = "high"\n', "fail_on: expected a section"),
    "unknown_section": (b"[scann]\nfail_on = 1\n", "unknown section [scann]"),
    "unknown_empty_section": (b"[scann]\n", "unknown section [scann]"),
    "unknown_name": (b'[scan]\nfailon = "high"\n', "failon"),
    "unknown_limit": (b"[limits]\nlayer_byte = 1\n", "layer_byte"),
    "number_for_text": (b"[scan]\nfail_on = 7\n", "scan.fail_on"),
    "text_for_number": (b'[limits]\nlayer_bytes = "many"\n', "limits.layer_bytes"),
    "text_for_list": (b'[registry]\ninsecure = "a.example"\n', "registry.insecure"),
    "wrong_in_list": (b"[registry]\ninsecure = [{}]\n", "registry.insecure"),
    "fraction": (b"[limits]\nlayers_count = 1.5\n", "limits.layers_count"),
    "zero": (b"[limits]\nlayers_count = 0\n", "limits.layers_count: must be above 0"),
    "negative": (b"[scan]\nlayers_parallel = -1\n", "scan.layers_parallel: must be above 0"),
    "no_number": (b"[limits]\nscan_seconds = nan\n", "limits.scan_seconds: must be above 0"),
    "retries": (b"[registry]\nretries_count = -1\n", "retries_count: must not be below 0"),
    "severity": (b'[scan]\nfail_on = "bad"\n', "scan.fail_on: expected one of critical, high"),
}


@pytest.mark.parametrize(("body", "reason"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_bad_file_is_named_with_what_is_wrong(file, body, reason):
    path = file(body)
    with pytest.raises(SettingsError) as caught:
        load_settings(path, {}, NOWHERE)
    assert caught.value.where == str(path)
    assert reason in caught.value.reason
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "nothing.toml"], ids=["directory", "missing"])
def test_a_file_that_cannot_be_read(tmp_path, name):
    with pytest.raises(SettingsError) as caught:
        load_settings(tmp_path / name, {}, NOWHERE)
    assert caught.value.where == str(tmp_path / name)


@pytest.mark.parametrize(
    ("variable", "text", "reason"),
    [
        ("SCANNER_LIMITS_LAYER_BYTES", "many", "limits.layer_bytes"),
        ("SCANNER_LIMITS_LAYER_BYTES", "-1", "limits.layer_bytes: must be above 0"),
        ("SCANNER_SCAN_OFFLINE", "maybe", "scan.offline"),
        ("SCANNER_SCAN_FAIL_ON", "bad", "scan.fail_on"),
    ],
)
def test_a_bad_variable_is_named(variable, text, reason):
    with pytest.raises(SettingsError) as caught:
        load_settings(None, {}, {**NOWHERE, variable: text})
    assert caught.value.where == variable
    assert reason in caught.value.reason


@pytest.mark.parametrize(
    "text",
    [
        f'[registry]\npassword = ["{PASSWORD}"]\n',
        f'[registry]\npassword = "{PASSWORD}"\nusername = 7\n',
        f'[registry]\npassword = {{ x = "{PASSWORD}" }}\n',
        f"[registry]\npassword = {PASSWORD}\n",
        f'[registry]\npassword = "{PASSWORD}\n',
    ],
)
def test_an_error_never_shows_a_password(file, text):
    with pytest.raises(SettingsError) as caught:
        load_settings(file(text), {}, NOWHERE)
    assert PASSWORD not in str(caught.value)


def test_explain_says_where_values_come_from(file):
    path = file('[scan]\nfail_on = "low"\n')
    environment = {**NOWHERE, "SCANNER_REGISTRY_PASSWORD": PASSWORD}
    infos = {i.name: i for i in explain_settings(path, environment)}
    assert (infos["scan.fail_on"].value, infos["scan.fail_on"].origin) == ("low", str(path))
    password = infos["registry.password"]
    assert (password.value, password.origin) == ("(set)", "SCANNER_REGISTRY_PASSWORD")
    assert infos["scan.offline"].origin == "default"
    assert PASSWORD not in str(infos)


def test_explain_has_every_setting_with_its_meaning():
    infos = explain_settings(None, NOWHERE)
    named = {"webhooks": ("webhooks.NAME", WebhookSettings)}
    assert [i.name for i in infos] == [
        f"{name}.{field.name}"
        for section in msgspec.structs.fields(Settings)
        for name, struct in [named.get(section.name, (section.name, section.type))]
        for field in msgspec.structs.fields(struct)
    ]
    assert [i.name for i in infos if not i.description] == []


def test_sections_with_names(file):
    text = '[webhooks.prod-harbor]\nauth = "basic"\nusername = "u"\n[webhooks.zot]\nhost = "zot:5000"\n'
    environment = {
        **NOWHERE,
        "SCANNER_WEBHOOKS_PROD_HARBOR_SECRET": PASSWORD,
        "SCANNER_WEBHOOKS_ACR_EMAILS": "a@example.com,b@example.com",
    }
    assert load_settings(file(text), {}, environment).webhooks == {
        "prod-harbor": WebhookSettings(auth="basic", username="u", secret=PASSWORD),
        "zot": WebhookSettings(host="zot:5000"),
        "acr": WebhookSettings(emails=("a@example.com", "b@example.com")),
    }
    shown = {i.name: i.value for i in explain_settings(file(text), environment)}
    assert shown["webhooks.prod-harbor.secret"] == "(set)"
    assert PASSWORD not in str(shown)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("webhooks = 3\n", "expected sections"),
        ("[webhooks]\nx = 3\n", "expected a section"),
        ('[webhooks."A B"]\n', "lower-case letters"),
        ("[webhooks.x]\nsecrets = 1\n", "unknown setting webhooks.x.secrets"),
        ('[webhooks.x]\nauth = "magic"\n', "webhooks.x.auth"),
    ],
    ids=["not_a_table", "no_name", "bad_name", "unknown_setting", "unknown_word"],
)
def test_wrong_named_sections(file, text, reason):
    with pytest.raises(SettingsError, match=reason):
        load_settings(file(text), {}, NOWHERE)


def test_the_database_password_is_not_shown():
    environment = {
        **NOWHERE,
        "SCANNER_STORE_URL": f"postgresql://u:{PASSWORD}@h/d?password={PASSWORD}",
    }
    shown = {i.name: i.value for i in explain_settings(None, environment)}
    assert shown["store.url"] == "postgresql://u:***@h/d"
