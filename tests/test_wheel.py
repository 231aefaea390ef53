"""What is distributed: built from a clean copy, installed into a clean environment, started from there."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NOT_SOURCE = (".git", ".venv", "build", "dist", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis")
PACKAGES = {"execd", "execctl", "execd_agent", "execd_api"}
# Building and installing fetch what the build needs; the rest of the suite needs no network.
BUILD_TIMEOUT_S = 300


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("distributions")
    shutil.copytree(ROOT, folder / "source", ignore=shutil.ignore_patterns(*NOT_SOURCE))
    command = [sys.executable, "-m", "build", "--outdir", str(folder), str(folder / "source")]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def scripts(distributions: Path) -> Path:
    """The bin folder of an environment that holds nothing but the wheel and what it depends on."""
    (wheel,) = distributions.glob("*.whl")
    environment = distributions / "environment"
    venv.create(environment, with_pip=True)
    command = [str(environment / "bin/python"), "-m", "pip", "install", "--quiet", str(wheel)]
    subprocess.run(command, check=True, capture_output=True)
    return environment / "bin"


@pytest.mark.timeout(BUILD_TIMEOUT_S)
def test_the_wheel_holds_the_four_packages_and_nothing_else(distributions: Path) -> None:
    (wheel,) = distributions.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    folders = {name.split("/")[0] for name in names}
    assert {folder for folder in folders if not folder.endswith(".dist-info")} == PACKAGES


@pytest.mark.timeout(BUILD_TIMEOUT_S)
def test_the_wheel_holds_what_is_no_python_too(distributions: Path) -> None:
    (wheel,) = distributions.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for source_root in ("daemon", "client", "proto", "inprocess"):
        data = {
            path for suffix in ("*.sql", "*.proto", "*.pyi", "*.bin") for path in (ROOT / source_root).rglob(suffix)
        }
        assert {str(path.relative_to(ROOT / source_root)) for path in data} <= names


@pytest.mark.timeout(BUILD_TIMEOUT_S)
def test_the_sdist_holds_the_tests_and_the_protocol(distributions: Path) -> None:
    (sdist,) = distributions.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tests = {path.relative_to(ROOT) for path in (ROOT / "tests").rglob("*.py")}
    protos = {path.relative_to(ROOT) for path in (ROOT / "proto").rglob("*.proto")}
    assert {str(path) for path in tests | protos} | {"Makefile", "LICENSE"} <= names


@pytest.mark.timeout(BUILD_TIMEOUT_S)
@pytest.mark.parametrize("script", ["execd", "execctl"])
def test_an_installed_script_shows_its_help(scripts: Path, script: str) -> None:
    finished = subprocess.run([scripts / script, "--help"], capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout.startswith(f"Usage: {script} ")
