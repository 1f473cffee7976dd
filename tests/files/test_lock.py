"""A file has one owner: others are told who, and a killed one gives it back."""

import os
import signal
import subprocess
import sys

import pytest

from asyncred.files.lock import Lock
from asyncred.files.whole import check_writable, created, written_whole

HOLD = """
import sys, time
from pathlib import Path
from asyncred.files.lock import Lock
lock = Lock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def test_the_second_is_told_and_kill_frees(tmp_path):
    path = tmp_path / "r.h5"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        for shared in (False, True):
            with pytest.raises(ValueError, match=f"is in use by process {holder.pid} on .*-c"):
                Lock(path, shared=shared)
        holder.send_signal(signal.SIGKILL)
        holder.wait(10)
        lock = Lock(path)
    finally:
        holder.kill()
        holder.communicate()
    lock.release()
    assert not list(tmp_path.iterdir())


def test_those_who_only_read_share(tmp_path):
    path = tmp_path / "f.h5"
    first = Lock(path)
    first.share()
    second = Lock(path, shared=True)
    with pytest.raises(ValueError, match="in use"):
        Lock(path)
    first.release()
    assert list(tmp_path.iterdir())  # the lock of the second
    second.release()
    assert not list(tmp_path.iterdir())


def test_no_symbolic_link_is_followed(tmp_path):
    """Neither as temporary file, nor as lock, nor as output."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    names = ("r.h5", ".f.h5.lock", ".x.part")
    for name in names:
        (tmp_path / name).symlink_to(victim)
    with pytest.raises(ValueError, match=r"f.h5: its lock .f.h5.lock cannot be made"):
        Lock(tmp_path / "f.h5")
    with pytest.raises(FileExistsError):
        created(tmp_path / ".x.part", victim)
    with pytest.raises(ValueError, match=r"r.h5: is a symbolic link to .*victim"):
        check_writable(tmp_path / "r.h5", overwrite=True)
    with pytest.raises(ValueError, match="null: is no regular file"):
        check_writable(type(tmp_path)("/dev/null"), overwrite=True)
    assert victim.read_text() == "mine"


def test_a_new_file_has_the_permissions_of_the_old_one(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o640)
    with written_whole(path) as temporary:
        temporary.write_text("new")
    assert path.stat().st_mode & 0o777 == 0o640
    umask = os.umask(0o022)
    os.umask(umask)
    with written_whole(tmp_path / "other") as temporary:
        pass
    assert (tmp_path / "other").stat().st_mode & 0o777 == 0o666 & ~umask
