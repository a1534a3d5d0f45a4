"""Names that come, go and change hands. Run as `names.py DIRECTORY`; see cases.py."""
import os
import stat
import sys

from cases import AT_FDCWD, CHANGED, GONE, NEWER, TOP, TOUCHED, case, checked, libc, renameat2, run, write

NOREPLACE, EXCHANGE, WHITEOUT = 1, 2, 4


def other_ino(before, after):
    return before is None or before != after


@case("a file is made where there was none")
def _():
    yield
    write("a", b"new")
    yield {**TOP, "a": {"content": b"new", "size": 3, "nlink": 1}}


@case("a file is removed", hold=["a"])
def _():
    write("a", b"old")
    yield
    os.unlink("a")
    yield {**TOP, "a": GONE, "fd:a": {"nlink": 0, **CHANGED}}
    write("a", b"another")
    yield {**TOP, "a": {"content": b"another", "size": 7}}


@case("a directory is made, filled and removed")
def _():
    yield
    os.mkdir("d")
    yield {".": {**TOUCHED, "nlink": 3}, "d": {"nlink": 2}}
    write("d/a", b"1")
    yield {"d": TOUCHED, "d/a": {"content": b"1"}}
    os.unlink("d/a")
    yield {"d": TOUCHED, "d/a": GONE}
    os.rmdir("d")
    yield {".": {**TOUCHED, "nlink": 2}, "d": GONE}


@case("a file is renamed", hold=["a"])
def _():
    write("a", b"x")
    yield
    os.rename("a", "b")
    yield {**TOP, "a": GONE, "b": {"content": b"x"}, "fd:a": CHANGED}
    os.mkdir("d")
    yield {".": {**TOUCHED, "nlink": 3}, "d": {}}
    os.rename("b", "d/b")
    yield {**TOP, "d": TOUCHED, "b": GONE, "d/b": {"content": b"x"}, "fd:a": CHANGED}


@case("a file is renamed over another", hold=["a", "b"])
def _():
    write("a", b"first")
    write("b", b"2")
    yield
    os.rename("a", "b")
    yield {
        **TOP, "a": GONE, "b": {"ino": other_ino, "content": b"first", "size": 5, **TOUCHED, "mtime": lambda b, a: a < b},
        "fd:a": CHANGED, "fd:b": {"nlink": 0, **CHANGED},
    }


@case("a directory is renamed with what is below it", hold=["d/a"])
def _():
    os.mkdir("d")
    write("d/a", b"1")
    yield
    os.rename("d", "e")
    yield {**TOP, "d": GONE, "d/a": GONE, "e": {}, "e/a": {"content": b"1"}}
    write("e/b", b"2")
    yield {"e": TOUCHED, "e/b": {"content": b"2"}}
    os.mkdir("d")
    os.rename("e", "d")
    yield {**TOP, "e": GONE, "e/a": GONE, "e/b": GONE, "d": {}, "d/a": {"content": b"1"}, "d/b": {"content": b"2"}}


@case("two files are exchanged", hold=["a", "b"])
def _():
    write("a", b"1")
    write("b", b"22")
    yield
    renameat2("a", "b", EXCHANGE)
    yield {
        **TOP, "a": {"ino": other_ino, "content": b"22", "size": 2, **TOUCHED},
        "b": {"ino": other_ino, "content": b"1", "size": 1, "ctime": NEWER, "mtime": lambda b, a: a < b},
        "fd:a": CHANGED, "fd:b": CHANGED,
    }


@case("a directory and a file are exchanged")
def _():
    os.mkdir("d")
    write("d/a", b"1")
    write("e", b"file")
    yield
    renameat2("d", "e", EXCHANGE)
    anything = lambda before, after: True
    either = {"type": other_ino, "ino": other_ino, "mode": anything, "nlink": anything, **TOUCHED, "mtime": anything}
    yield {
        **TOP, "d": {**either, "content": b"file", "size": 4}, "e": {**either}, "d/a": GONE, "e/a": {"content": b"1"},
    }


@case("a name that is taken is not replaced")
def _():
    write("a", b"1")
    write("b", b"2")
    yield
    try:
        renameat2("a", "b", NOREPLACE)
    except FileExistsError:
        pass
    yield {}


@case("a whiteout takes a file's place")
def _():
    write("a", b"1")
    yield
    renameat2("a", "b", WHITEOUT)
    yield {
        **TOP, "b": {"content": b"1"},
        "a": {"type": stat.S_IFCHR, "ino": other_ino, "mode": "0o0", "size": 0, **TOUCHED},
    }


@case("a file gets another name, and loses one", hold=["a"])
def _():
    write("a", b"x")
    yield
    os.link("a", "b")
    yield {**TOP, "a": {"nlink": 2, **CHANGED}, "fd:a": {"nlink": 2, **CHANGED}, "b": {"nlink": 2, "content": b"x"}}
    os.unlink("a")
    yield {**TOP, "a": GONE, "b": {"nlink": 1, **CHANGED}, "fd:a": {"nlink": 1, **CHANGED}}
    os.link("b", "c")
    yield {**TOP, "b": {"nlink": 2, **CHANGED}, "fd:a": {"nlink": 2, **CHANGED}, "c": {"nlink": 2}}
    write("a", b"y")
    os.rename("a", "b")
    yield {
        **TOP, "b": {"ino": other_ino, "nlink": 1, "content": b"y", **TOUCHED}, "c": {"nlink": 1, **CHANGED},
        "fd:a": {"nlink": 1, **CHANGED},
    }


@case("a symbolic link is replaced")
def _():
    os.mkdir("d")
    os.mkdir("e")
    write("d/a", b"in d")
    write("e/a", b"in e, longer")
    os.symlink("d", "l")
    yield
    os.unlink("l")
    os.symlink("e/.", "l")
    through = {"ino": other_ino, "content": b"in e, longer", "size": 12, **TOUCHED}
    yield {**TOP, "l": {"ino": other_ino, "target": "e/.", "size": 3, **TOUCHED}, "l/a": through}
    os.symlink("d", "c")
    os.rename("c", "l")
    back = {"ino": other_ino, "content": b"in d", "size": 4, "mtime": lambda b, a: a < b, "ctime": lambda b, a: a < b}
    yield {**TOP, "l": {"ino": other_ino, "target": "d", "size": 1, **TOUCHED}, "l/a": back}
    os.unlink("l")
    yield {**TOP, "l": GONE, "l/a": GONE}


@case("a file without a name gets one")
def _():
    yield
    fd = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600)
    os.write(fd, b"nameless")
    yield {}
    checked(libc.linkat(AT_FDCWD, f"/proc/self/fd/{fd}".encode(), AT_FDCWD, b"a", 0x400))
    yield {**TOP, "a": {"content": b"nameless", "nlink": 1, "mode": "0o600"}}
    os.write(fd, b" once")
    yield {"a": {"content": b"nameless once", "size": 13, **TOUCHED}}
    os.close(fd)
    yield {}


@case("special files are made")
def _():
    yield
    os.mkfifo("a")
    os.mknod("b", stat.S_IFBLK | 0o600, os.makedev(240, 1))
    yield {**TOP, "a": {"type": stat.S_IFIFO}, "b": {"type": stat.S_IFBLK}}


@case("names change under a directory that was renamed between the looks")
def _():
    os.mkdir("d")
    os.mkdir("e")
    write("d/a", b"1")
    yield
    os.rename("d", "e")
    os.rename("e/a", "e/b")
    os.mkdir("d")
    yield {
        **TOP, "d": {"ino": other_ino, **TOUCHED}, "e": {"ino": other_ino, **TOUCHED}, "d/a": GONE, "e/b": {"content": b"1"},
    }


run(sys.argv[1])
