"""The texts of an image config: each as a small file in which credentials are looked for, and what may be shown of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from scanner.model import Finding, HistoryEntry, ImageConfig, Kind

_HIDDEN: Final = "…"
_BUILD_ARGUMENTS: Final = re.compile(r"\|\d+ (?:[^\s=]+=.*?)(?= /bin/| sh | bash |$)", re.DOTALL)
_ARGUMENT: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(\"[^\"]*\"|'[^']*'|\S*)")


def config_texts(config: ImageConfig) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of each text: ``config:Env/NAME`` holds ``NAME=value``."""
    for variable in config.env:
        yield f"config:Env/{variable.partition('=')[0]}", _encoded(variable)
    for key, value in config.labels.items():
        yield f"config:Labels/{key}", _encoded(f"{key}={value}")
    for number, entry in enumerate(config.history):
        yield f"config:History/{number}", _encoded(f"{entry.created_by}\n{entry.comment}")
    for name, words in (
        ("Entrypoint", config.entrypoint),
        ("Cmd", config.cmd),
        ("OnBuild", config.on_build),
        ("Healthcheck", config.healthcheck.test if config.healthcheck else ()),
    ):
        if words:
            yield f"config:{name}", _encoded("\n".join(words))


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def redacted(config: ImageConfig, findings: Iterable[Finding]) -> ImageConfig:
    """Return the config as reports may show it.

    Values of variables and build arguments are never shown; any other text with a secret in it is hidden whole.
    """
    marked = {
        f.path for f in findings if f.kind is Kind.SECRET and f.path.startswith("config:")
    }

    def words(name: str, values: tuple[str, ...]) -> tuple[str, ...]:
        return (_HIDDEN,) if f"config:{name}" in marked else values

    healthcheck = config.healthcheck
    if healthcheck is not None:
        test = words("Healthcheck", healthcheck.test)
        healthcheck = msgspec.structs.replace(healthcheck, test=test)
    return msgspec.structs.replace(
        config,
        env=tuple(f"{v.partition('=')[0]}={_HIDDEN}" for v in config.env),
        labels={
            k: _HIDDEN if f"config:Labels/{k}" in marked else v for k, v in config.labels.items()
        },
        history=tuple(
            _redacted_step(h, hidden=f"config:History/{n}" in marked)
            for n, h in enumerate(config.history)
        ),
        entrypoint=words("Entrypoint", config.entrypoint),
        cmd=words("Cmd", config.cmd),
        on_build=words("OnBuild", config.on_build),
        healthcheck=healthcheck,
    )


def _redacted_step(entry: HistoryEntry, *, hidden: bool) -> HistoryEntry:
    if hidden:
        first = entry.created_by.split(" ", 1)[0][:20]
        return msgspec.structs.replace(entry, created_by=f"{first} {_HIDDEN}", comment="")
    shown = _BUILD_ARGUMENTS.sub(
        lambda m: _ARGUMENT.sub(rf"\1={_HIDDEN}", m.group()), entry.created_by
    )
    if shown.startswith(("ARG ", "ENV ", "/bin/sh -c #(nop)  ENV", "/bin/sh -c #(nop)  ARG")):
        shown = _ARGUMENT.sub(rf"\1={_HIDDEN}", shown)
    return msgspec.structs.replace(entry, created_by=shown)
