"""The staging stacks as files: what users run with compose and what CI runs with podman are the same images."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

DOCKER = Path(__file__).parents[2] / "docker"
SCRIPT = (DOCKER / "podman").read_text()
IMAGES = sorted(path.parent.name for path in DOCKER.glob("*/Dockerfile"))
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def words(name: str) -> list[str]:
    found = re.search(rf'^{name}="(.*)"$', SCRIPT, re.MULTILINE)
    assert found is not None
    return found[1].split()


def test_the_script_builds_every_image_and_compose_uses_every_one() -> None:
    assert words("names") == IMAGES == sorted({service["build"] for service in SERVICES.values()})


def test_the_script_runs_what_compose_runs() -> None:
    started = re.findall(r"^ +run (\S+) --name harness-staging-(\S+)(?: --memory (\S+))?", SCRIPT, re.MULTILINE)
    assert {name: image for image, name, _ in started} == {name: s["build"] for name, s in SERVICES.items()}
    assert {name: memory for _, name, memory in started if memory} == {
        name: service["mem_limit"] for name, service in SERVICES.items() if "mem_limit" in service
    }
    assert sorted(words("stack")) == sorted(SERVICES)


def test_compose_and_the_script_give_the_same_names() -> None:
    for name, service in SERVICES.items():
        assert service["container_name"] == f"harness-staging-{name}"
        assert service["image"] == f"harness-{service['build']}"
    assert {volume["name"] for volume in COMPOSE["volumes"].values()} == {"harness-staging-run"}


def test_one_stack_starts_without_the_secrets_of_another() -> None:
    """Compose fills in the whole file, whichever services are started; who needs a secret says so itself (``start``)."""
    variables = re.findall(r"\$\{(\w+)([^}]*)\}", (DOCKER / "compose.yml").read_text())
    assert {name for name, _ in variables} == {"XDEBUG_SECRET", "AUTHORIZED_KEY"}
    assert {rest for _, rest in variables} == {":-"}
    for image in ("nginx", "php", "sshd"):
        assert re.search(r"\$\{\w+:\?set it to", (DOCKER / image / "start").read_text()), image


@pytest.mark.parametrize("image", IMAGES)
def test_images_need_nothing_but_debian(image: str) -> None:
    lines = (DOCKER / image / "Dockerfile").read_text().splitlines()
    assert [line for line in lines if line.startswith("FROM ")] == ["FROM debian:bookworm-slim"]
    for line in lines:
        if line.startswith("COPY "):
            assert all((DOCKER / image / name).is_file() for name in line.split()[1:-1]), line


def test_ports_are_published_on_loopback_only() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


@pytest.mark.parametrize("script", ["podman", "nginx/start", "php/start", "sshd/start"])
def test_scripts_are_posix_sh(script: str) -> None:
    assert subprocess.run(["dash", "-n", DOCKER / script], check=False).returncode == 0
