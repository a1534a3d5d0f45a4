"""Times its own system calls, in a directory of a mount: client.py DIRECTORY COUNT KIND ...

Prints, for each kind, how many there were, the nanoseconds that they took in all, and their errors. What prepares a
call is not in it. Kinds are named as the operations that the calls send, each of them once.
"""
import errno
import json
import os
import sys
import time


def mkdir(at):
    return lambda: os.mkdir(f"d{at}")


def rmdir(at):
    """Of a directory that has something in it."""
    os.makedirs(f"full{at}/x")
    return lambda: os.rmdir(f"full{at}")


def rename(at):
    os.close(os.open(f"from{at}", os.O_CREAT | os.O_WRONLY))
    return lambda: os.rename(f"from{at}", f"to{at}")


def setxattr(at):
    return lambda: os.setxattr(".", "user.k", b"%d" % at)


def removexattr(at):
    """Of one that is absent."""
    return lambda: os.removexattr(".", "user.absent")


def fsync(at):
    file = os.open("synced", os.O_CREAT | os.O_RDWR)
    os.write(file, b"x" * 1000)
    return lambda: os.fsync(file)


def write(at):
    file = os.open(f"w{at}", os.O_CREAT | os.O_RDWR)
    return lambda: os.write(file, b"x" * 1000)


def lookup(at):
    """Of a name that is absent."""
    return lambda: os.lstat(f"absent{at}")


def stat(at):
    """Of one that is there: asks once for the name, and then, or with it, for the attributes."""
    os.close(os.open(f"s{at}", os.O_CREAT | os.O_WRONLY))
    return lambda: os.lstat(f"s{at}")


def main():
    directory, count, *kinds = sys.argv[1:]
    os.chdir(directory)
    spent = {}
    for kind in kinds:
        calls = [globals()[kind](at) for at in range(int(count))]
        nanos, errors = 0, {}
        for call in calls:
            began = time.monotonic_ns()
            try:
                call()
            except OSError as error:
                name = errno.errorcode[error.errno]
                errors[name] = errors.get(name, 0) + 1
            nanos += time.monotonic_ns() - began
        spent[kind] = {"count": len(calls), "nanos": nanos, "errors": errors}
    print(json.dumps(spent))


main()
