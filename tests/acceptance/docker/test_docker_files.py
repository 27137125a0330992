"""The files of docker/, as far as they can be judged without an engine."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from benchmarks import embedding_server

ROOT = Path(__file__).parents[3]
DOCKER = ROOT / "docker"
DOCKERFILE = (DOCKER / "Dockerfile").read_text()
COMPOSE_TEXT = (DOCKER / "compose.yaml").read_text()
COMPOSE = yaml.safe_load(COMPOSE_TEXT)
SERVICES = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if service["image"] == "pgknowbase-demo"]


def run(*command: object, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, **options)


def tool(name: str) -> Path:
    found = Path(sys.executable).with_name(name)
    assert found.exists(), f"{name} is missing: pip install -e '.[dev]'"
    return found


def test_hadolint_finds_nothing():
    result = run(tool("hadolint"), "--no-color", DOCKER / "Dockerfile")
    assert (result.stdout, result.returncode) == ("", 0)


def test_compose_file_obeys_the_compose_specification():
    result = run(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", DOCKER / "compose.yaml")
    assert result.returncode == 0, result.stdout


def test_compose_itself_reads_the_file():
    secrets = {"POSTGRES_PASSWORD": "a$b@:/", "DJANGO_SECRET_KEY": "k"}
    compose = [tool("docker-compose"), "-f", DOCKER / "compose.yaml", "--env-file", "/dev/null"]
    result = run(*compose, "config", "--quiet", env=secrets)
    assert result.returncode == 0, result.stderr
    refused = run(*compose, "config", "--quiet", env={"DJANGO_SECRET_KEY": "k"})
    assert "required variable POSTGRES_PASSWORD is missing a value: set it in docker/.env" in refused.stderr


def test_image_is_slim_staged_and_not_root():
    stages = re.findall(r"^FROM (\S+)(?: AS (\w+))?$", DOCKERFILE, re.MULTILINE)
    assert stages == [("python:${PYTHON_VERSION}-slim", "build"), ("python:${PYTHON_VERSION}-slim", "")]
    final = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.search(r"^USER [1-9]\d*$", final, re.MULTILINE)
    assert not re.search(r"pip install|apt-get|gcc|build-essential", final)
    assert "HEALTHCHECK" in final
    assert "torch" not in re.sub(r"^#.*$", "", DOCKERFILE, flags=re.MULTILINE)


def test_build_context_holds_what_is_copied_and_no_secret():
    lines = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
    assert "*" in lines
    assert "**/.env" in lines
    allowed = {line[1:] for line in lines if line.startswith("!")}
    copies = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
    sources = {source for line in copies for source in line.split()[:-1]}
    assert sources
    for source in sources:
        assert any(source == entry or source.startswith(f"{entry}/") for entry in allowed), source


def test_services_and_profiles():
    assert {name: service.get("profiles", []) for name, service in SERVICES.items()} == {
        "db": [],
        "migrate": [],
        "web": [],
        "worker": ["worker"],
        "relay": ["stock-pgai"],
        "embedding-server": ["stock-pgai"],
        "pgai-worker": ["stock-pgai"],
    }
    assert "--relay-only" in SERVICES["relay"]["command"]
    assert SERVICES["db"]["image"].startswith("pgvector/pgvector:pg18")
    assert SERVICES["db"]["volumes"] == ["data:/var/lib/postgresql"]
    assert all("ports" not in service for name, service in SERVICES.items() if name != "web")
    assert SERVICES["web"]["ports"][0].startswith("127.0.0.1:")


def test_every_long_running_service_has_a_health_check():
    for name, service in SERVICES.items():
        check = service["healthcheck"]
        if name == "migrate":
            assert check == {"disable": True}
            assert service["restart"] == "no"
        else:
            assert check["test"][0] in ("CMD", "CMD-SHELL"), name
            assert service["restart"] == "unless-stopped"


def test_nothing_starts_before_what_it_needs():
    for name in set(SERVICES) - {"db", "migrate"}:
        needs = SERVICES[name]["depends_on"]
        assert needs["db"]["condition"] == "service_healthy"
        assert needs["migrate"]["condition"] == "service_completed_successfully"
    assert SERVICES["migrate"]["depends_on"] == {"db": {"condition": "service_healthy"}}
    assert SERVICES["pgai-worker"]["depends_on"]["embedding-server"]["condition"] == "service_healthy"


def test_secrets_come_from_the_environment_without_a_default():
    for name, service in SERVICES.items():
        for key, value in service["environment"].items():
            if re.search("PASSWORD|SECRET", key):
                assert re.fullmatch(r"\$\{\w+:\?set it in docker/\.env\}", value), (name, key)
            assert not re.search(r"://[^/@]*:[^/@]*@", str(value)), (name, key)


def test_env_example_names_every_variable_and_no_secret():
    example = dict(
        line.split("=", 1)
        for line in (DOCKER / ".env.example").read_text().splitlines()
        if line and not line.startswith("#")
    )
    used = set(re.findall(r"\$\{(\w+)", COMPOSE_TEXT))
    assert used | {"COMPOSE_PROFILES"} == set(example)
    required = set(re.findall(r"\$\{(\w+):\?", COMPOSE_TEXT))
    assert {name for name, value in example.items() if not value} == required
    assert example["COMPOSE_PROFILES"] == "worker"
    assert "docker/.env" in (ROOT / ".gitignore").read_text().splitlines()


@pytest.mark.parametrize("name", [name for name in OURS if name not in ("web", "migrate", "embedding-server")])
def test_commands_exist_and_take_these_arguments(name):
    from django.core.management import load_command_class

    program, manage, command, *arguments = SERVICES[name]["command"]
    assert (program, manage) == ("python", "django_app/demo/manage.py")
    load_command_class("pgknowbase", command).create_parser("manage.py", command).parse_args(arguments)


def test_embedding_server_takes_these_arguments():
    program, module, name, *arguments = SERVICES["embedding-server"]["command"]
    assert (program, module, name) == ("python", "-m", "benchmarks.embedding_server")
    embedding_server.argument_parser().parse_args(arguments)
    copied = re.search(r"^COPY (benchmarks/.+) benchmarks/$", DOCKERFILE, re.MULTILINE)[1].split()
    assert copied == ["benchmarks/__init__.py", "benchmarks/embedding_server.py"]
