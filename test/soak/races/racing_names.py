"""Races with others like itself: racing_names.py DIRECTORY SEED OPERATIONS. Or checks what they left: DIRECTORY check."""
import errno
import os
import random
import sys

NAMES = [b"a", b"b", b"a!", b"c", b"x" * 255, b"\xff\x01"]
# What a race may end with. Anything else is a violation.
EXPECTED = {
    errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY, errno.EINVAL, errno.EPERM,
    errno.ELOOP, errno.EBUSY, errno.EXDEV,
}


def race(root, seed, operations):
    pick = random.Random(seed)

    def path():
        return os.path.join(root, *[pick.choice(NAMES) for _ in range(pick.randint(1, 3))])

    def create(at):
        os.close(os.open(at, os.O_CREAT | os.O_WRONLY | pick.choice([0, os.O_EXCL, os.O_TRUNC]), 0o644))

    for _ in range(operations):
        step = pick.randrange(10)
        try:
            if step < 2:
                create(path())
            elif step == 2:
                os.mkdir(path())
            elif step < 5:
                os.link(path(), path(), follow_symlinks=False)
            elif step == 5:
                os.unlink(path())
            elif step == 6:
                os.rmdir(path())
            elif step == 7:
                os.listdir(path())
            else:
                os.rename(path(), path())
        except OSError as error:
            if error.errno not in EXPECTED:
                raise


def check(root):
    """The link counts that are told are those that a walk finds, and each directory is reached once."""
    names, told, directories = {}, {}, set()
    for parent, below, files in os.walk(root):
        status = os.lstat(parent)
        if status.st_ino in directories:
            sys.exit(f"directory {status.st_ino} is reached twice")
        directories.add(status.st_ino)
        if status.st_nlink != 2 + len(below):
            sys.exit(f"{parent!r} tells {status.st_nlink} links and has {len(below)} directories")
        for name in files:
            status = os.lstat(os.path.join(parent, name))
            names[status.st_ino] = names.get(status.st_ino, 0) + 1
            told[status.st_ino] = status.st_nlink
    for ino, count in names.items():
        if told[ino] != count:
            sys.exit(f"inode {ino} tells {told[ino]} links and has {count}")


if sys.argv[2] == "check":
    check(os.fsencode(sys.argv[1]))
else:
    race(os.fsencode(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
