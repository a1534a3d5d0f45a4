"""Contents, changed in every way that there is, under a process that holds the file open and mapped."""
import ctypes
import mmap
import os
import sys

from cases import GONE, NEWER, TOP, TOUCHED, UNSETTLED, case, checked, libc, run, write

PAGE = mmap.PAGESIZE
OFFSET = ctypes.c_int64
KEEP_SIZE, PUNCH, COLLAPSE, ZERO = 1, 2, 8, 16


def of(paths, **fields):
    return {path: fields for path in paths}


def changed(data, size=True, mapped=True, names=("a",)):
    """The file has this content now. What is mapped of it stays as long as it was."""
    fields = {"content": data, **TOUCHED, **({"size": len(data)} if size else {})}
    seen = of([*names, "fd:a"], **fields)
    if mapped:
        seen["map:a"] = {"content": lambda before, after: after == data[: len(before)].ljust(len(before), b"\0")}
    return seen


@case("writes by path, by descriptor and by another name", hold=["a"], maps=["a"])
def _():
    write("a", b"0123456789")
    os.link("a", "b")
    yield
    fd = os.open("b", os.O_RDWR)
    yield {}
    os.pwrite(fd, b"xyz", 3)
    yield changed(b"012xyz6789", names=("a", "b"), size=False)
    with open("a", "ab") as file:
        file.write(b"more")
    yield changed(b"012xyz6789more", names=("a", "b"))
    os.write(fd, b"A")
    yield changed(b"A12xyz6789more", names=("a", "b"), size=False)
    os.fsync(fd)
    yield {}
    os.close(fd)
    yield {}


@case("truncation by another name and by a descriptor", hold=["a"], maps=["a"])
def _():
    write("a", b"0123456789")
    os.link("a", "b")
    fd = os.open("b", os.O_RDWR)
    yield
    os.truncate("b", 4)
    yield changed(b"0123", names=("a", "b"))
    os.ftruncate(fd, 8)
    yield changed(b"0123\0\0\0\0", names=("a", "b"))
    os.pwrite(fd, b"tail", 6)
    yield changed(b"0123\0\0tail", names=("a", "b"))
    os.close(fd)
    os.truncate("b", 2)
    yield changed(b"01", names=("a", "b"))
    os.truncate("a", 9000)
    yield changed(b"01".ljust(9000, b"\0"), names=("a", "b"))
    write("b", b"2")
    yield changed(b"21".ljust(9000, b"\0"), names=("a", "b"), size=False)


@case("a file that is emptied by opening it", hold=["a"])
def _():
    write("a", b"old content")
    yield
    fd = os.open("a", os.O_WRONLY | os.O_TRUNC)
    yield changed(b"", mapped=False)
    os.write(fd, b"new")
    yield changed(b"new", mapped=False)
    os.close(fd)
    yield {}


@case("space allocated, holes punched, ranges copied", hold=["a"], maps=["a"])
def _():
    write("a", b"x" * 3 * PAGE)
    write("b", b"y" * PAGE)
    fd = os.open("a", os.O_RDWR)
    source = os.open("b", os.O_RDONLY)
    yield
    checked(libc.fallocate(fd, KEEP_SIZE | PUNCH, OFFSET(PAGE), OFFSET(PAGE)))
    data = b"x" * PAGE + b"\0" * PAGE + b"x" * PAGE
    yield changed(data, size=False)
    checked(libc.fallocate(fd, 0, OFFSET(0), OFFSET(4 * PAGE)))
    data += b"\0" * PAGE
    yield changed(data)
    checked(libc.fallocate(fd, ZERO, OFFSET(10), OFFSET(10)))
    data = data[:10] + b"\0" * 10 + data[20:]
    yield changed(data, size=False)
    assert os.copy_file_range(source, fd, PAGE, 0, PAGE) == PAGE
    data = data[:PAGE] + b"y" * PAGE + data[2 * PAGE :]
    yield changed(data, size=False)
    assert os.copy_file_range(source, fd, PAGE, 0, 4 * PAGE) == PAGE
    yield changed(data + b"y" * PAGE)
    os.close(fd)
    yield {}


@case("writes past the cache", hold=["a"], maps=["a"])
def _():
    write("a", b"x" * 2 * PAGE)
    fd = os.open("a", os.O_RDWR | os.O_DIRECT)
    memory = mmap.mmap(-1, PAGE)
    memory.write(b"d" * PAGE)
    yield
    assert os.pwritev(fd, [memory], PAGE) == PAGE
    yield changed(b"x" * PAGE + b"d" * PAGE, size=False)
    assert os.pwritev(fd, [memory], 2 * PAGE) == PAGE
    yield changed(b"x" * PAGE + b"d" * 2 * PAGE)
    os.close(fd)
    yield {}


@case("stores to a mapping whose file is closed", hold=["a"], maps=["a"])
def _():
    write("a", b"x" * 2 * PAGE)
    fd = os.open("a", os.O_RDWR)
    mapping = mmap.mmap(fd, 2 * PAGE)
    os.close(fd)
    yield
    data = b"x" * 2 * PAGE

    def stored(at, letter):
        nonlocal data
        mapping[at : at + 1] = letter
        data = data[:at] + letter + data[at + 1 :]

    # When the times change, between a store and msync, is the kernel's choice.
    later = {"mtime": lambda b, a: a >= b, "ctime": lambda b, a: a >= b}
    at_once = of(["a", "fd:a", "map:a"], content=lambda before, after: after == data)
    stored(5, b"1")
    yield {UNSETTLED: True, **at_once, **{path: {**at_once[path], **later} for path in ("a", "fd:a")}}
    # A store to what is clean: of a page that is dirty already, ext4 does not notice one.
    mapping.flush()
    before = os.stat("a").st_mtime_ns
    stored(PAGE + 5, b"2")
    mapping.flush()
    assert os.stat("a").st_mtime_ns > before
    yield {**at_once, **{path: {**at_once[path], **TOUCHED} for path in ("a", "fd:a")}}
    stored(6, b"3")
    mapping.flush()
    mapping.close()
    yield {**at_once, **{path: {**at_once[path], **TOUCHED} for path in ("a", "fd:a")}}
    write("a", b"w")
    data = b"w" + data[1:]
    yield {**at_once, **{path: {**at_once[path], **TOUCHED} for path in ("a", "fd:a")}}


@case("stores to a mapping that is unmapped without a word", hold=["a"])
def _():
    write("a", b"x" * PAGE)
    yield
    fd = os.open("a", os.O_RDWR)
    mapping = mmap.mmap(fd, PAGE)
    os.close(fd)
    mapping[0:3] = b"end"
    mapping.close()
    data = b"end" + b"x" * (PAGE - 3)
    yield changed(data, size=False, mapped=False)


@case("a file written by one that is held by a second and read by a third")
def _():
    fd = os.open("a", os.O_CREAT | os.O_WRONLY, 0o644)
    yield
    for i in range(1, 20):
        os.write(fd, b"%d\n" % i)
        data = b"".join(b"%d\n" % n for n in range(1, i + 1))
        yield {"a": {"content": data, "size": len(data), **TOUCHED}}
    os.close(fd)
    yield {}


@case("a new content renamed over an old one", hold=["a"], maps=["a"])
def _():
    write("a", b"old content")
    yield
    write("b", b"new")
    os.rename("b", "a")
    yield {
        **TOP, "a": {"ino": lambda b, a: a != b, "content": b"new", "size": 3, **TOUCHED},
        "fd:a": {"nlink": 0, "ctime": NEWER},
    }


@case("a file that is removed while it is written", hold=["a"], maps=["a"])
def _():
    write("a", b"0123456789")
    fd = os.open("a", os.O_RDWR)
    yield
    os.unlink("a")
    os.pwrite(fd, b"more than before", 0)
    yield {
        **TOP, "a": GONE, "fd:a": {"nlink": 0, "content": b"more than before", "size": 16, **TOUCHED},
        "map:a": {"content": b"more than "},
    }
    os.close(fd)
    yield {}


run(sys.argv[1])
