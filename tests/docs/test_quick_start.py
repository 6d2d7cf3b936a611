"""The quick start, followed word by word: only ports, the pushed image and the home directory are the test's."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from support.demo_images import demo_image
from support.image_builder import write_oci_layout
from support.registry import free_port
from support.scanning import environment

pytestmark = pytest.mark.real

REPOSITORY = Path(__file__).resolve().parents[2]
TEXT = (REPOSITORY / "docs/quick-start.md").read_text()
COMPOSE = REPOSITORY / "deploy/compose.yaml"
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()
_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands(section):
    """Return the commands of a section, as they would be typed."""
    return "\n".join(_BLOCK.findall(TEXT.partition(f"\n## {section}\n")[2].partition("\n## ")[0]))


def test_without_containers(tmp_path):
    missing = [p for p in ("docker-registry", "skopeo", "curl", "openssl") if not shutil.which(p)]
    if missing:
        pytest.skip(f"missing: {', '.join(missing)}")
    demo = demo_image()
    write_oci_layout({"app": demo}, tmp_path / "demo")
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/scanner").symlink_to(REPOSITORY / "scripts/scanner")
    registry, server = str(free_port()), str(free_port())
    script = commands("Without containers")
    image = "docker://docker.io/library/alpine:3.20"
    assert image in script
    script = script.replace(image, "oci:demo:app").replace("5000", registry)
    script = script.replace("8080", server)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env={
            "HOME": str(tmp_path),
            "PATH": environment(tmp_path)["PATH"],
            "SCANNER_SERVER_LISTEN": f"127.0.0.1:{server}",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    log = tmp_path / "build/quick-start/serve.log"
    assert done.returncode == 0, done.stderr + (log.read_text() if log.exists() else "")
    assert f"{demo.digest}\n" in done.stdout
    assert "complete: 1 high" in done.stdout
    assert "Private key" in done.stdout
    assert f'"digest":"{demo.digest}","state":"complete"' in done.stdout
    assert "drain" in log.read_text()


def test_every_command_with_containers_is_in_the_compose_file():
    text = commands("With containers")
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    for port in re.findall(r"localhost:(\d+)", text):
        published = [p for s in services.values() for p in s["ports"]]
        assert f"127.0.0.1:{port}:{port}" in published
    assert "deploy/.env" in text
    assert re.findall(r"compose\.yaml run .* (\w+) token create", text) == ["scanner"]


def test_the_compose_file(tmp_path):
    compose = yaml.safe_load(COMPOSE.read_text())
    scanner, registry = compose["services"]["scanner"], compose["services"]["registry"]
    assert scanner["read_only"] is True
    assert scanner["cap_drop"] == ["ALL"]
    assert set(compose["volumes"]) == {"registry", "scanner"}
    (endpoint,) = yaml.safe_load(registry["environment"]["REGISTRY_NOTIFICATIONS_ENDPOINTS"])
    assert endpoint["url"] == "http://scanner:8080/v1/webhooks/distribution"
    assert endpoint["headers"]["Authorization"][0].startswith("Bearer ${WEBHOOK_SECRET:?")
    variables = scanner["environment"]
    assert variables["SCANNER_WEBHOOKS_DISTRIBUTION_SECRET"].startswith("${WEBHOOK_SECRET:?")
    assert variables["SCANNER_WEBHOOKS_DISTRIBUTION_HOST"] == "registry:5000"
    if _has_compose():
        (tmp_path / ".env").write_text("WEBHOOK_SECRET=x\n")
        command = [
            "docker",
            "compose",
            "-f",
            COMPOSE,
            "--env-file",
            tmp_path / ".env",
            "config",
            "-q",
        ]
        subprocess.run(command, check=True)


def _has_compose():
    if not shutil.which("docker"):
        return False
    asked = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    return asked.returncode == 0


def test_the_variables_of_the_compose_file_are_settings():
    from scanner.config import load_settings

    variables = yaml.safe_load(COMPOSE.read_text())["services"]["scanner"]["environment"]
    in_image = dict(re.findall(r"(SCANNER_\w+)=(\S+)", DOCKERFILE))
    settings = load_settings(None, {}, {"XDG_CONFIG_HOME": "/nonexistent", **variables, **in_image})
    assert settings.registry.insecure == ("registry:5000",)
    assert settings.webhooks["distribution"].host == "registry:5000"
    assert settings.server.listen == "0.0.0.0:8080"


def test_the_container_image():
    assert re.search(r"^USER \d+$", DOCKERFILE, re.MULTILINE)
    assert 'CMD ["scanner", "health"]' in DOCKERFILE
    ignored = (REPOSITORY / ".dockerignore").read_text().splitlines()
    sources = re.findall(r"^COPY (?!--from)(\S+) ", DOCKERFILE, re.MULTILINE)
    assert sources
    for source in sources:
        assert (REPOSITORY / source).exists()
        assert f"!{source.rstrip('/')}" in ignored
