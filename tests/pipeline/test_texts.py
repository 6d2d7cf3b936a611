"""What of an image config credentials are looked for in, and what of it reports may show."""

from __future__ import annotations

import pytest

from scanner.model import Finding, HistoryEntry, ImageConfig, Kind, Severity
from scanner.model.oci import Healthcheck
from scanner.pipeline.texts import config_texts, redacted


def marked(path: str, kind: Kind = Kind.SECRET) -> Finding:
    return Finding(
        rule_id="r", kind=kind, severity=Severity.HIGH, title="t", why="w", remedy="r", path=path
    )


def shown_step(step: str, *env: str) -> str:
    config = ImageConfig(env=env, history=(HistoryEntry(created_by=step),))
    return redacted(config, ()).history[0].created_by


@pytest.mark.parametrize(
    ("step", "want"),
    [
        pytest.param("RUN make", "RUN make", id="plain"),
        pytest.param("RUN A=b make", "RUN A=b make", id="variable_of_a_command"),
        pytest.param(
            "|1 TOKEN=x /bin/sh -c make", "|1 TOKEN=… /bin/sh -c make", id="classic_argument"
        ),
        pytest.param(
            "RUN |2 A=x B=y /bin/sh -c make # buildkit",
            "RUN |2 A=… B=… /bin/sh -c make # buildkit",
            id="buildkit_arguments",
        ),
        pytest.param(
            "RUN |1 A=my secret words /bin/sh -c make",
            "RUN |1 A=… /bin/sh -c make",
            id="value_with_spaces",
        ),
        pytest.param(
            "RUN |1 A=my c2VjcmV0PQ== /bin/bash -eo pipefail -c make",
            "RUN |1 … /bin/bash -eo pipefail -c make",
            id="value_that_looks_like_a_name",
        ),
        pytest.param("RUN |1 A=a\nb /bin/sh -c c", "RUN |1 A=… /bin/sh -c c", id="two_lines"),
        pytest.param("|1 A=x powershell -c y", "|1 A=…", id="unknown_shell_is_hidden_too"),
        pytest.param("|0 /bin/sh -c make", "|0 /bin/sh -c make", id="no_arguments"),
        pytest.param("RUN cat x |1 A=b", "RUN cat x |1 A=b", id="pipe_within_a_command"),
        pytest.param("ENV A=x", "ENV A=…", id="variable"),
        pytest.param("ENV A=x y z", "ENV A=…", id="variable_with_spaces"),
        pytest.param("ENV A=x B=y", "ENV A=… B=…", id="two_variables"),
        pytest.param("ENV A=x c2Vj=", "ENV A=…", id="value_like_a_variable"),
        pytest.param("ENV A secret", "ENV …", id="old_form_of_a_variable"),
        pytest.param("/bin/sh -c #(nop)  ENV A=x", "/bin/sh -c #(nop)  ENV A=…", id="docker"),
        pytest.param("/bin/sh -c #(nop) ENV A=x", "/bin/sh -c #(nop) ENV A=…", id="buildah"),
        pytest.param("/bin/sh -c #(nop)  ARG C=x", "/bin/sh -c #(nop)  ARG C=…", id="docker_arg"),
        pytest.param("ARG A", "ARG A", id="argument_without_value"),
        pytest.param("ARG C=x", "ARG C=…", id="argument_with_default"),
        pytest.param("", "", id="empty"),
    ],
)
def test_steps(step, want):
    assert shown_step(step, "A=1", "B=2") == want


def test_names_of_variables_stay_and_values_never_do():
    config = ImageConfig(env=("PATH=/bin", "EMPTY=", "TWO=a=b", "valueonly"))
    assert redacted(config, ()).env == ("PATH=…", "EMPTY=…", "TWO=…", "…=…")


@pytest.mark.parametrize(
    ("path", "changed"),
    [
        ("config:Labels/a", {"labels": {"a": "…", "b": "2"}}),
        (
            "config:History/0",
            {"history": (HistoryEntry(created_by="RUN …", author="…"), HistoryEntry())},
        ),
        ("config:Entrypoint", {"entrypoint": ("…",)}),
        ("config:Cmd", {"cmd": ("…",)}),
        ("config:OnBuild", {"on_build": ("…",)}),
        ("config:Volumes", {"volumes": ("…",)}),
        ("config:WorkingDir", {"working_dir": "…"}),
        ("config:Healthcheck", {"healthcheck": Healthcheck(test=("…",))}),
        ("app/config:Cmd", {}),
    ],
)
def test_a_text_with_a_secret_is_hidden_whole(path, changed):
    parts = {
        "labels": {"a": "1", "b": "2"},
        "history": (HistoryEntry(created_by="RUN x", comment="c", author="me"), HistoryEntry()),
        "entrypoint": ("a", "b"),
        "cmd": ("c",),
        "on_build": ("d",),
        "volumes": ("/v",),
        "working_dir": "/w",
        "healthcheck": Healthcheck(test=("CMD", "e")),
    }
    config = ImageConfig(**parts)
    assert redacted(config, [marked(path)]) == ImageConfig(**(parts | changed))
    assert redacted(config, [marked(path, Kind.CONFIG)]) == config


def test_every_text_is_looked_at():
    config = ImageConfig(
        env=("A=1", "noname"),
        labels={"l": "2"},
        history=(HistoryEntry(created_by="RUN x", comment="c", author="me"),),
        entrypoint=("a", "b"),
        cmd=("c",),
        on_build=("d",),
        volumes=("/v",),
        working_dir="/w",
        healthcheck=Healthcheck(test=("CMD", "\udcff")),
    )
    assert list(config_texts(config)) == [
        ("config:Env/A", b"A=1"),
        ("config:Env/…", b"noname"),
        ("config:Labels/l", b"l=2"),
        ("config:History/0", b"RUN x\nc\nme"),
        ("config:Entrypoint", b"a\nb"),
        ("config:Cmd", b"c"),
        ("config:OnBuild", b"d"),
        ("config:Volumes", b"/v"),
        ("config:WorkingDir", b"/w"),
        ("config:Healthcheck", b"CMD\n?"),
    ]
    assert list(config_texts(ImageConfig())) == []


@pytest.mark.parametrize(
    ("step", "want"),
    [
        ("|1 " + " " * 2_000_000, "|1 …"),
        ("|1 A=" + " /x" * 500_000, "|1 A=…"),
        ("ENV " + "A" * 2_000_000, "ENV …"),
        ("ENV " + "a= " * 500_000, "ENV a=…"),
    ],
    ids=["spaces", "slashes", "letters", "names"],
)
def test_long_steps_end(step, want):
    assert shown_step(step) == want
