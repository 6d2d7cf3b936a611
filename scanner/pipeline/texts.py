"""The texts of an image config: each as a small file in which credentials are looked for, and what may be shown of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from scanner.model import Finding, HistoryEntry, ImageConfig, Kind

_HIDDEN: Final = "…"
_LABELS: Final = "config:Labels/"
_NOTHING: Final[Mapping[str, str]] = {}
_BUILD_ARGUMENTS: Final = re.compile(r"((?:RUN )?\|(\d{1,6}))(.*?)(?= /\S*sh -|\Z)", re.DOTALL)
"""What Docker and BuildKit put before a step: how many arguments, then each as it is, spaces and all."""
_DECLARATION: Final = re.compile(r"((?:/bin/sh -c #\(nop\)\s+)?(ENV|ARG)\s+)(.*)", re.DOTALL)
_NAME: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_.-]*)=")


def label_keys(config: ImageConfig) -> Iterator[tuple[str, bytes]]:
    """Yield the key of each label alone, under a path that does not tell it."""
    for number, key in enumerate(config.labels):
        yield f"{_LABELS}{_HIDDEN}{number}", _encoded(key)


def hidden_labels(config: ImageConfig, findings: Iterable[Finding]) -> dict[str, str]:
    """Return what is shown in place of each key of a label in which ``findings`` saw a secret."""
    marked = {f.path for f in findings if f.kind is Kind.SECRET}
    paths = (path for path, _ in label_keys(config))
    return {
        key: path.removeprefix(_LABELS)
        for key, path in zip(config.labels, paths, strict=True)
        if path in marked
    }


def config_texts(
    config: ImageConfig, hidden: Mapping[str, str] = _NOTHING
) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of each text: ``config:Env/NAME`` holds ``NAME=value``.

    ``hidden`` is what :func:`hidden_labels` returned.
    """
    for variable in config.env:
        yield f"config:Env/{_variable_name(variable)}", _encoded(variable)
    for key, value in config.labels.items():
        yield f"{_LABELS}{hidden.get(key, key)}", _encoded(f"{key}={value}")
    for number, entry in enumerate(config.history):
        yield (
            f"config:History/{number}",
            _encoded(f"{entry.created_by}\n{entry.comment}\n{entry.author}"),
        )
    for name, words in (
        ("Entrypoint", config.entrypoint),
        ("Cmd", config.cmd),
        ("OnBuild", config.on_build),
        ("Volumes", config.volumes),
        ("WorkingDir", (config.working_dir,) if config.working_dir else ()),
        ("Healthcheck", config.healthcheck.test if config.healthcheck else ()),
    ):
        if words:
            yield f"config:{name}", _encoded("\n".join(words))


def _variable_name(variable: str) -> str:
    """Return the name of ``NAME=value``; a text without a name is all value."""
    name, equals, _ = variable.partition("=")
    return name if equals else _HIDDEN


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def redacted(
    config: ImageConfig, findings: Iterable[Finding], hidden: Mapping[str, str] = _NOTHING
) -> ImageConfig:
    """Return the config as reports may show it; ``hidden`` is what :func:`hidden_labels` returned.

    Values of variables and build arguments are never shown; any other text with a secret in it is hidden whole.
    """
    marked = {f.path for f in findings if f.kind is Kind.SECRET and f.path.startswith("config:")}

    def words(name: str, values: tuple[str, ...]) -> tuple[str, ...]:
        return (_HIDDEN,) if f"config:{name}" in marked else values

    names = frozenset(_variable_name(v) for v in config.env)
    healthcheck = config.healthcheck
    if healthcheck is not None:
        test = words("Healthcheck", healthcheck.test)
        healthcheck = msgspec.structs.replace(healthcheck, test=test)
    return msgspec.structs.replace(
        config,
        env=tuple(f"{_variable_name(v)}={_HIDDEN}" for v in config.env),
        labels={
            key: _HIDDEN if _LABELS + key in marked else value
            for key, value in ((hidden.get(k, k), v) for k, v in config.labels.items())
        },
        history=tuple(
            _redacted_step(h, names, hidden=f"config:History/{n}" in marked)
            for n, h in enumerate(config.history)
        ),
        entrypoint=words("Entrypoint", config.entrypoint),
        cmd=words("Cmd", config.cmd),
        on_build=words("OnBuild", config.on_build),
        volumes=words("Volumes", config.volumes),
        working_dir=" ".join(words("WorkingDir", (config.working_dir,))),
        healthcheck=healthcheck,
    )


def _redacted_step(entry: HistoryEntry, names: frozenset[str], *, hidden: bool) -> HistoryEntry:
    if hidden:
        first = entry.created_by.split(" ", 1)[0][:20]
        return msgspec.structs.replace(
            entry, created_by=f"{first} {_HIDDEN}", comment="", author=entry.author and _HIDDEN
        )
    shown = _without_values(entry.created_by, names)
    return msgspec.structs.replace(entry, created_by=shown)


def _without_values(step: str, names: frozenset[str]) -> str:
    """Return a step without values of arguments and variables; ``names`` are those that may be shown.

    Values are written as they are, so a word that looks like ``NAME=`` may be part of one.
    """
    if found := _BUILD_ARGUMENTS.match(step):
        start, count, arguments = found.groups()
        given = _names_in(arguments)
        shown = _hidden_values(given if len(given) == int(count) else [])
        return start + (f" {shown}" if arguments else "") + step[found.end() :]
    if found := _DECLARATION.match(step):
        start, word, text = found.groups()
        given = _names_in(text)
        if "=" not in text and word == "ARG":
            return step
        known = [n for i, n in enumerate(given) if n in names or (i == 0 and text.startswith(n))]
        return start + _hidden_values(known)
    return step


def _names_in(text: str) -> list[str]:
    return [found[1] for word in text.split() if (found := _NAME.match(word))]


def _hidden_values(names: list[str]) -> str:
    return " ".join(f"{name}={_HIDDEN}" for name in names) or _HIDDEN
