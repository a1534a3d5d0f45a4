"""Attributes, extended ones and access lists, changed by one name and seen by all. Run as `attributes.py DIRECTORY`."""
import os
import struct
import sys

from cases import CHANGED, GONE, TOP, TOUCHED, as_user, case, run, write

UNUSED = 0xFFFFFFFF
OWNER, USER, GROUP, MASK, OTHERS = 1, 2, 4, 0x10, 0x20


def acl(*entries):
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def for_user(permissions):
    """An access list that gives the user 1000 these permissions, and nothing to the group and others."""
    return acl((OWNER, 6, UNUSED), (USER, permissions, 1000), (GROUP, 0, UNUSED), (MASK, 7, UNUSED), (OTHERS, 0, UNUSED))


def of(paths, **fields):
    return {path: fields for path in paths}


LINKED = ["a", "b", "fd:a"]


def linked(data=b"content"):
    """A file of two names, of which the other process holds the first open."""
    write("a", data)
    os.link("a", "b")


@case("mode, owner and times by another name", hold=["a"])
def _():
    linked()
    yield
    os.chmod("b", 0o600)
    yield {"a": {"mode": "0o600", "user": False, **CHANGED}, "b": {"mode": "0o600", "user": False, **CHANGED},
           "fd:a": {"mode": "0o600", **CHANGED}}
    os.chown("b", 1000, 77)
    yield {"a": {"uid": 1000, "gid": 77, "user": True, **CHANGED}, "b": {"uid": 1000, "gid": 77, "user": True, **CHANGED},
           "fd:a": {"uid": 1000, "gid": 77, **CHANGED}}
    os.utime("b", ns=(5, 1_234_567_890_123_456_789))
    yield of(LINKED, mtime=1_234_567_890_123_456_789, **CHANGED)
    os.utime("a")
    yield of(LINKED, **TOUCHED)


@case("attributes by a descriptor of a file that has lost its names", hold=["a"])
def _():
    write("a", b"x")
    fd = os.open("a", os.O_RDWR)
    yield
    os.unlink("a")
    os.fchmod(fd, 0o640)
    os.fchown(fd, 5, 6)
    yield {**TOP, "a": GONE, "fd:a": {"nlink": 0, "mode": "0o640", "uid": 5, "gid": 6, **CHANGED}}
    os.write(fd, b"longer")
    yield {"fd:a": {"size": 6, "content": b"longer", **TOUCHED}}
    os.close(fd)
    yield {}


@case("extended attributes by another name", hold=["a"])
def _():
    linked()
    yield
    os.setxattr("b", "user.k", b"1")
    yield {**of(["a", "b"], xattrs={"user.k": b"1"}, **CHANGED), "fd:a": CHANGED}
    os.setxattr("b", "user.k", b"22", os.XATTR_REPLACE)
    os.setxattr("a", "trusted.t", b"")
    yield {**of(["a", "b"], xattrs={"user.k": b"22", "trusted.t": b""}, **CHANGED), "fd:a": CHANGED}
    os.removexattr("b", "user.k")
    yield {**of(["a", "b"], xattrs={"trusted.t": b""}, **CHANGED), "fd:a": CHANGED}


@case("access lists by another name", hold=["a"])
def _():
    linked()
    os.chmod("a", 0o600)
    yield
    name = "system.posix_acl_access"
    os.setxattr("b", name, for_user(4))
    yield {**of(["a", "b"], xattrs={name: for_user(4)}, mode="0o670", user=True, **CHANGED),
           "fd:a": {"mode": "0o670", **CHANGED}}
    os.setxattr("a", name, for_user(0))
    yield {**of(["a", "b"], xattrs={name: for_user(0)}, user=False, **CHANGED), "fd:a": CHANGED}
    os.setxattr("a", name, for_user(6))
    yield {**of(["a", "b"], xattrs={name: for_user(6)}, user=True, **CHANGED), "fd:a": CHANGED}
    # The mask is the group's bits: what chmod takes away is gone for the user too.
    os.chmod("b", 0o600)
    masked = acl((OWNER, 6, UNUSED), (USER, 6, 1000), (GROUP, 0, UNUSED), (MASK, 0, UNUSED), (OTHERS, 0, UNUSED))
    yield {**of(["a", "b"], xattrs={name: masked}, mode="0o600", user=False, **CHANGED),
           "fd:a": {"mode": "0o600", **CHANGED}}
    os.removexattr("b", name)
    yield {**of(["a", "b"], xattrs={}, **CHANGED), "fd:a": CHANGED}


@case("a directory’s mode and lists decide at once about what is below")
def _():
    os.mkdir("d")
    write("d/a", b"x")
    yield
    os.chmod("d", 0o700)
    yield {"d": {"mode": "0o700", "user": False, **CHANGED}, "d/a": {"user": False}}
    os.setxattr("d", "system.posix_acl_access", for_user(5))
    yield {"d": {"xattrs": lambda b, a: len(a) == 1, "mode": "0o670", "user": True, **CHANGED}, "d/a": {"user": True}}
    os.removexattr("d", "system.posix_acl_access")
    os.chmod("d", 0o755)
    yield {"d": {"xattrs": {}, "mode": "0o755", **CHANGED}}
    os.setxattr("d", "system.posix_acl_default", for_user(4))
    yield {"d": {"xattrs": {"system.posix_acl_default": for_user(4)}, **CHANGED}}
    write("d/b", b"", 0o666)
    inherited = acl((OWNER, 6, UNUSED), (USER, 4, 1000), (GROUP, 0, UNUSED), (MASK, 6, UNUSED), (OTHERS, 0, UNUSED))
    yield {"d": TOUCHED, "d/b": {"mode": "0o660", "user": True, "xattrs": {"system.posix_acl_access": inherited}}}


@case("setuid and capabilities go with a write, a truncation and a change of owner", hold=["a"])
def _():
    linked()
    capability = struct.pack("<IIIII", 0x02000001, 1, 0, 0, 0)
    kept = {"security.capability": capability}

    def arm():
        os.chown("a", 1000, 1000)
        os.chmod("a", 0o6777)
        os.setxattr("a", "security.capability", capability)

    changed = {"mode": "0o777", **CHANGED}

    def killed(**fields):
        return {**of(["a", "b"], xattrs={}, **changed, **fields), "fd:a": {**changed, **fields}}

    def armed(**fields):
        return {**of(["a", "b"], xattrs=kept, mode="0o6777", **CHANGED, **fields),
                "fd:a": {"mode": "0o6777", **CHANGED, **fields}}

    arm()
    yield
    as_user(lambda: write("b", b"CONTENT"))
    yield killed(content=b"CONTENT", mtime=lambda b, a: a > b)
    arm()
    yield armed()
    as_user(lambda: os.truncate("b", 4))
    yield killed(content=b"CONT", size=4, mtime=lambda b, a: a > b)
    arm()
    yield armed()
    as_user(lambda: os.close(os.open("b", os.O_WRONLY | os.O_TRUNC)))
    yield killed(content=b"", size=0, mtime=lambda b, a: a > b)
    arm()
    yield armed()
    os.chown("b", 1001, 1000)
    yield killed(uid=1001)


run(sys.argv[1])
