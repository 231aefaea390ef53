"""execd.config: flags, environment and defaults."""

from __future__ import annotations

from pathlib import Path

import pytest
from execd.config import SOCKET_PATH_MAX_BYTES, resolve
from execd.errors import SocketPathTooLong

HOME = {"HOME": "/home/u"}


def test_the_defaults_lie_under_the_home_directory() -> None:
    config = resolve(HOME)
    assert config.data_dir == Path("/home/u/.local/state/execd")
    assert config.socket == Path("/home/u/.local/state/execd/run/execd.sock")


def test_the_xdg_directories_come_before_the_home_directory() -> None:
    config = resolve({**HOME, "XDG_RUNTIME_DIR": "/run/user/7", "XDG_STATE_HOME": "/s"})
    assert (config.data_dir, config.socket) == (Path("/s/execd"), Path("/run/user/7/execd/execd.sock"))


def test_a_relative_xdg_directory_is_ignored() -> None:
    assert resolve({**HOME, "XDG_RUNTIME_DIR": "run", "XDG_STATE_HOME": "state"}) == resolve(HOME)


def test_the_environment_stands_for_the_flags() -> None:
    config = resolve({**HOME, "EXECD_SOCKET": "/e/s", "EXECD_DATA_DIR": "/e/d"})
    assert (config.data_dir, config.socket) == (Path("/e/d"), Path("/e/s"))


def test_a_flag_comes_before_the_environment() -> None:
    environ = {**HOME, "EXECD_SOCKET": "/e/s", "EXECD_DATA_DIR": "/e/d"}
    config = resolve(environ, data_dir="/f/d", socket="/f/s")
    assert (config.data_dir, config.socket) == (Path("/f/d"), Path("/f/s"))


def test_an_empty_variable_counts_as_unset() -> None:
    assert resolve({**HOME, "EXECD_SOCKET": "", "EXECD_DATA_DIR": ""}) == resolve(HOME)


def test_relative_flags_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = resolve(HOME, data_dir="d", socket="s")
    assert (config.data_dir, config.socket) == (tmp_path / "d", tmp_path / "s")


def test_a_socket_path_may_be_107_bytes_long_and_no_longer() -> None:
    longest = "/" + "s" * (SOCKET_PATH_MAX_BYTES - 1)
    assert resolve(HOME, socket=longest).socket == Path(longest)
    with pytest.raises(SocketPathTooLong, match="108 bytes"):
        resolve(HOME, socket=longest + "s")


def test_a_socket_path_is_measured_in_bytes_not_in_characters() -> None:
    with pytest.raises(SocketPathTooLong):
        resolve(HOME, socket="/" + "ü" * 60)
