"""Java runtimes."""

from __future__ import annotations

import pytest

from scanner.analyzers.packages.java_runtime import ANALYZERS
from scanner.model import Package
from scanner.ports import LayerFile

(ANALYZER,) = ANALYZERS
PATH = "usr/lib/jvm/java-21/release"


@pytest.mark.parametrize(
    ("body", "want"),
    [
        pytest.param(
            b'IMPLEMENTOR="Someone"\nJAVA_RUNTIME_VERSION="21.0.2+13-LTS"\nJAVA_VERSION="21.0.2"\n',
            ["pkg:generic/openjdk@21.0.2"],
            id="today",
        ),
        pytest.param(
            b'JAVA_VERSION="1.8.0_392"\r\n', ["pkg:generic/openjdk@1.8.0_392"], id="java_8"
        ),
        pytest.param(
            b'JAVA_VERSION="21.0.1"\nGRAALVM_VERSION="23.1.1"\n',
            ["pkg:generic/openjdk@21.0.1", "pkg:generic/graalvm@23.1.1"],
            id="graalvm",
        ),
        pytest.param(b"Fedora release 39\n", [], id="another_release_file"),
        pytest.param(b'JAVA_VERSION="$(rm)"\n', [], id="not_a_version"),
        pytest.param(b"", [], id="empty"),
    ],
)
def test_parse(body, want):
    found = list(ANALYZER.parse(LayerFile(PATH, body)))
    assert [one.purl for one in found] == want
    assert all(isinstance(one, Package) and one.path == PATH for one in found)
