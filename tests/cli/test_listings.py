"""`execctl report -C`: files whose names came from a target, nowhere but where the user said."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from execctl.errors import ClientError
from execctl.files import save_below, save_beside
from execd_api.v1.reports_pb2 import RenderChunk

if TYPE_CHECKING:
    from pathlib import Path

    from cli.conftest import Run
    from cli.fake_daemon import FakeDaemon


def test_each_listing_is_a_file_below_the_directory(run: Run, daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.script.answers["Reports.Render"] = [
        RenderChunk(file="shop/cart.cover", data=b"    1: a"),
        RenderChunk(data=b" = 1\n"),
        RenderChunk(file="orders.cover", data=b""),
    ]
    result = run("report", "s1", "-C", str(tmp_path / "new" / "covers"), "-m")
    asked = daemon.script.request("Reports.Render")
    assert (asked.subject, asked.format, asked.files) == ("s1", "cover", True)
    assert asked.settings_json == '{"missing": true}'
    covers = tmp_path / "new" / "covers"
    assert (covers / "shop" / "cart.cover").read_bytes() == b"    1: a = 1\n"
    assert (covers / "orders.cover").read_bytes() == b""
    assert sorted(path.name for path in covers.rglob("*")) == ["cart.cover", "orders.cover", "shop"]
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"wrote 2 files of p7 below {covers}\nsince attach\n"


def test_the_summary_beside_the_listings_is_of_the_same_profile(run: Run, daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.script.answers["Reports.Render"] = lambda request: (
        [RenderChunk(file="a.cover", data=b"x")] if request.files else b"lines   cov%\n"
    )
    result = run("report", "s1", "-C", str(tmp_path), "-s")
    assert result.stdout == "lines   cov%\n"
    assert result.stderr == f"wrote 1 files of p7 below {tmp_path}\nsince attach\n"
    listings, summary = (request for _, request in daemon.script.asked)
    assert (listings.subject, summary.subject, summary.format) == ("s1", "p7", "summary")


def test_listings_beside_their_sources(run: Run, daemon: FakeDaemon, tmp_path: Path) -> None:
    (tmp_path / "cart.py").write_text("a = 1\n")
    daemon.script.answers["Reports.Render"] = [
        RenderChunk(file=f"{tmp_path}/cart.cover", data=b"    1: a = 1\n"),
        RenderChunk(file=f"{tmp_path}/gone.cover", data=b"    1: b = 1\n"),
    ]
    result = run("report", "-C", "@source")
    assert daemon.script.request("Reports.Render").settings_json == '{"beside": true}'
    assert (tmp_path / "cart.cover").read_text() == "    1: a = 1\n"
    assert not (tmp_path / "gone.cover").exists()
    assert "skipped: cannot write " in result.stderr
    assert "wrote 1 files of p7 beside their sources" in result.stderr


def test_a_listing_that_comes_twice_is_written_once(run: Run, daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.script.answers["Reports.Render"] = [
        RenderChunk(file="a.cover", data=b"first"),
        RenderChunk(file="a.cover", data=b"second"),
    ]
    result = run("report", "-C", str(tmp_path))
    assert (tmp_path / "a.cover").read_bytes() == b"first"
    assert "skipped: two sources have the listing a.cover" in result.stderr


def test_where_no_listing_can_be_written_the_command_fails(run: Run, daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.script.answers["Reports.Render"] = [RenderChunk(file="../a.cover", data=b"x")]
    result = run("report", "-C", str(tmp_path / "covers"))
    assert result.exit_code == 2
    assert not (tmp_path / "a.cover").exists()


def test_no_listings_at_all_are_a_failure(run: Run, daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.script.answers["Reports.Render"] = []
    result = run("report", "-C", str(tmp_path / "covers"))
    assert result.exit_code == 9
    assert "`execctl report p7` says why" in result.stderr
    assert not (tmp_path / "covers").exists()


@pytest.mark.parametrize(
    "name",
    [
        *("", "/etc/x.cover", "../x.cover", "a/../../x.cover", "a//x.cover", "./x.cover", "a/", "..", "a/."),
        *("a\0b", "a\nb.cover", "\x1b[2J.cover", "a\u202eb.cover", "a/" * 200 + "x.cover"),
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ClientError, match="name for a file is refused"):
        save_below(str(tmp_path / "covers"), name, b"x")
    assert list(tmp_path.iterdir()) == []


def test_a_link_below_the_directory_is_not_followed(tmp_path: Path) -> None:
    covers, elsewhere = tmp_path / "covers", tmp_path / "elsewhere"
    covers.mkdir()
    elsewhere.mkdir()
    (covers / "shop").symlink_to(elsewhere)
    with pytest.raises(ClientError, match=r"cannot write shop/cart\.cover below"):
        save_below(str(covers), "shop/cart.cover", b"x")
    assert list(elsewhere.iterdir()) == []


def test_a_link_in_the_place_of_a_listing_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "cart.cover").symlink_to(tmp_path / "precious")
    save_below(str(tmp_path), "cart.cover", b"x")
    assert (tmp_path / "precious").read_text() == "mine"
    assert not (tmp_path / "cart.cover").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cart.cover", "precious"]


@pytest.mark.parametrize("name", ["cart.cover", "a/../cart.cover", "/cart.py", "/x/cart\n.cover"])
def test_a_place_beside_a_source_is_an_absolute_path_of_a_listing(name: str) -> None:
    with pytest.raises(ClientError, match="no listing's place"):
        save_beside(name, b"x")


def test_nothing_is_written_in_a_directory_of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cart.py").write_text("a = 1\n")
    own = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: own + 1)
    with pytest.raises(ClientError, match="belongs to another user"):
        save_beside(f"{tmp_path}/cart.cover", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["cart.py"]


def test_a_source_that_is_none_gets_no_listing(tmp_path: Path) -> None:
    (tmp_path / "cart.py").mkdir()
    with pytest.raises(ClientError, match="no source beside it"):
        save_beside(f"{tmp_path}/cart.cover", b"x")
