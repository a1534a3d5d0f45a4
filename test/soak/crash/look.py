"""Tells all that is in a directory: look.py DIRECTORY. One line of JSON for each name, parents first."""
import base64
import json
import os
import stat
import sys
import zlib

KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink", stat.S_IFSOCK: "socket"}


def packed(value):
    return base64.b64encode(zlib.compress(value, 1)).decode()


def tell(path, at):
    status = os.lstat(at)
    kind = KINDS.get(stat.S_IFMT(status.st_mode), "other")
    line = {
        "path": path, "kind": kind, "mode": stat.S_IMODE(status.st_mode), "ino": status.st_ino, "links": status.st_nlink,
        "size": status.st_size, "mtime": str(status.st_mtime_ns), "content": "", "target": "",
    }
    if kind == "file":
        with open(at, "rb") as file:
            line["content"] = packed(file.read())
    elif kind == "symlink":
        line["target"] = os.readlink(at)
    names = os.listxattr(at, follow_symlinks=False)
    line["xattrs"] = {name: packed(os.getxattr(at, name, follow_symlinks=False)) for name in names}
    print(json.dumps(line))
    if kind == "directory":
        for name in sorted(os.listdir(at)):
            tell(f"{path}/{name}" if path else name, os.path.join(at, name))


tell("", sys.argv[1])
