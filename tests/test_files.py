"""Files are written whole, where they were asked for: links stay, permissions stay, pipes and devices are fed."""

import os
import stat
import subprocess
import sys
import threading

import pytest

from tinydecouple.cli import main
from tinydecouple.errors import TinyDecoupleError
from tinydecouple.files import read_regular, write

posix = pytest.mark.skipif(os.name != "posix", reason="links, pipes and permissions as POSIX has them")
SMALL = ["corpus", "family", "--keys", "60", "--per-variety", "10", "--varieties", "a1"]


@posix
def test_a_link_stays_and_its_target_is_written(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("there/real")
    (tmp_path / "dangling").symlink_to(tmp_path / "new" / "file")
    for link in ("link", "dangling"):
        write(tmp_path / link, "text")
        assert (tmp_path / link).is_symlink(), f"{link} was replaced by a file: the user's link is gone"
        assert (tmp_path / link).read_bytes() == b"text"
    assert (tmp_path / "there" / "real").read_bytes() == b"text"


@posix
@pytest.mark.parametrize("mode", [0o600, 0o664, 0o755])
def test_permissions_stay(tmp_path, mode):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(mode)
    write(path, "new")
    got = stat.S_IMODE(path.stat().st_mode)
    assert got == mode, f"got {got:o}, expected {mode:o}: a private file became public, or a shared one private"


@posix
def test_a_new_file_has_the_permissions_that_any_new_file_has(tmp_path):
    (tmp_path / "any").write_bytes(b"")
    write(tmp_path / "ours", "new")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "any").stat().st_mode


@posix
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anything")
def test_a_file_that_may_not_be_written_is_not_replaced(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o400)
    with pytest.raises(PermissionError):
        write(path, "new")
    assert path.read_bytes() == b"old"


@posix
def test_a_pipe_is_written_into_and_stays_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    read = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()), daemon=True)
    reader.start()
    write(tmp_path / "pipe", "through")
    reader.join(10)
    assert read == [b"through"]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode), "the pipe was replaced by a file"


@posix
@pytest.mark.parametrize("how", ["pipe", "file"])
def test_an_export_to_standard_output(tmp_path, how):
    """Also where standard output is a file: it is appended to, not replaced under the process's feet."""
    command = [sys.executable, "-m", "tinydecouple", *SMALL, "--export", "/dev/stdout"]
    if how == "pipe":
        out = subprocess.run(command, capture_output=True, check=True).stdout
    else:
        with (tmp_path / "out").open("wb") as file:
            file.write(b"before\n")
            file.flush()
            subprocess.run(command, stdout=file, stderr=subprocess.DEVNULL, check=True)
        head, out = (tmp_path / "out").read_bytes().split(b"\n", 1)
        assert head == b"before"
    assert out.startswith(b"key\tvariety\ttext\tsplit\n") and out.count(b"\n") > 60
    assert os.path.exists("/dev/stdout")


def test_a_folder_is_refused_and_half_a_character_is_spelt_out(tmp_path):
    with pytest.raises(TinyDecoupleError, match="is a folder; name a file"):
        write(tmp_path, "text")
    write(tmp_path / "file", "caf\udce9")  # how Python holds a file name that is not UTF-8
    assert (tmp_path / "file").read_bytes() == b"caf\\udce9"


@pytest.mark.parametrize("how", ["itself", "hard link", "link", "folder"])
def test_an_export_over_the_corpus_that_is_read_is_refused(tmp_path, capsys, how):
    source = tmp_path / "in" / "corpus.tsv"
    source.parent.mkdir()
    main([*SMALL, "--export", str(source)])
    before, target, corpus = source.read_bytes(), tmp_path / "other", source
    if how == "hard link":
        os.link(source, target)
    elif how == "link":
        target.symlink_to(source)
    else:
        target = source
    if how == "folder":
        for name in ("a.x", "a.y"):
            (source.parent / name).write_text("text\n", encoding="utf-8")
        corpus = source.parent
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(["corpus", str(corpus), "--standard", "std", "--export", str(target)])
    err = capsys.readouterr().err
    assert stop.value.code == 2 and "is part of the corpus that is read" in err
    assert source.read_bytes() == before


@posix
def test_what_never_ends_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("pipe", "zero"):
        with pytest.raises(TinyDecoupleError, match="is a device or a pipe"):
            read_regular(tmp_path / name)
    (tmp_path / "large").write_bytes(bytes(100))
    with pytest.raises(TinyDecoupleError, match="larger than"):
        read_regular(tmp_path / "large", most=99)
    assert read_regular(tmp_path / "large", most=100) == bytes(100)
