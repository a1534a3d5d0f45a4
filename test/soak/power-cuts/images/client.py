"""A client of a mount. `do OPERATIONS DIRECTORY MARKS NAME LEVEL` does a history's operations, and marks each before it is begun
and what is durable then; `show DIRECTORY` prints all that is there."""
import json
import os
import stat
import sys

PATTERN = bytes(range(251))


def chunk(operation):
    fill, length = operation["fill"], operation["length"]
    return (PATTERN * (length // len(PATTERN) + 2))[fill:fill + length]


def write(fd, data):
    while data:
        data = data[os.write(fd, data):]


def with_open(path, flags, work):
    fd = os.open(path, flags, 0o644)
    try:
        return work(fd)
    finally:
        os.close(fd)


class Client:
    def __init__(self, directory):
        self.directory = directory
        self.held = -1

    def do(self, operation):
        kind, path = operation["kind"], operation.get("path")
        if kind == "enter":
            os.mkdir(self.directory)
            os.chdir(self.directory)
        elif kind == "open-held":
            # It stays open: its record is behind its content all the time.
            self.held = os.open("held", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
        elif kind == "append":
            with_open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, lambda fd: write(fd, chunk(operation)))
        elif kind == "append-held":
            write(self.held, chunk(operation))
        elif kind == "sync-held":
            os.fsync(self.held)
        elif kind == "sync":
            with_open(path, os.O_RDONLY, os.fsync)
        elif kind == "truncate":
            os.truncate(path, operation["size"])
        elif kind == "mkdir":
            os.mkdir(path)
        elif kind == "rmdir":
            os.rmdir(path)
        elif kind == "unlink":
            os.unlink(path)
        elif kind == "symlink":
            os.symlink(operation["target"], path)
        elif kind == "link":
            os.link(path, operation["to"])
        elif kind == "rename":
            os.rename(path, operation["to"])
        elif kind == "setxattr":
            os.setxattr(path, "user.soak", operation["value"].encode())
        else:
            raise ValueError(kind)


def do(operations, directory, marks, name, level):
    # Without buffers: each mark is one write.
    with open(operations) as file, open(marks, "wb", buffering=0) as out:
        client = Client(directory)
        for index, operation in enumerate(json.load(file)):
            out.write(f"begun {name} {index}".encode())
            client.do(operation)
            if level == "synced" or operation["kind"].startswith("sync"):
                out.write(f"durable {name} {index}".encode())


def show_one(path, name):
    status = os.lstat(path)
    shown = {"path": name, "links": status.st_nlink, "type": stat.S_IFMT(status.st_mode)}
    if stat.S_ISLNK(status.st_mode):
        shown["target"] = os.readlink(path)
        return shown
    if "user.soak" in os.listxattr(path):
        shown["value"] = os.getxattr(path, "user.soak").decode()
    if stat.S_ISREG(status.st_mode):
        with open(path, "rb") as file:
            content = file.read()
        if len(content) != status.st_size:
            raise ValueError(f"{name}: {len(content)} bytes are there, stat tells {status.st_size}")
        shown["content"] = content.hex()
    return shown


def show(directory):
    found = []
    for place, directories, files in os.walk(directory):
        for name in directories + files:
            path = os.path.join(place, name)
            found.append(show_one(path, os.path.relpath(path, directory)))
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    {"do": do, "show": show}[sys.argv[1]](*sys.argv[2:])
