"""
A second process, which looks at all there is in a directory, so that the kernel has it in its caches. What it sees is
{ path: fields }, with None for a name that is absent; for an open file, "fd:PATH"; for a mapped one, "map:PATH".
"""
import errno
import mmap
import os
import pickle
import stat
import struct
import sys
import traceback

USER = 1000
# Every name that a case may use is looked for each time, also where it is absent.
NAMES = ["a", "b", "c", "d", "d/a", "d/b", "e", "e/a", "e/b", "l", "l/a"]


def content(fd):
    return os.pread(fd, 1 << 20, 0)


def described(st):
    kind = stat.S_IFMT(st.st_mode)
    fields = {
        "type": kind, "mode": oct(stat.S_IMODE(st.st_mode)), "nlink": st.st_nlink, "uid": st.st_uid,
        "gid": st.st_gid, "mtime": st.st_mtime_ns, "ctime": st.st_ctime_ns, "ino": st.st_ino,
    }
    if kind != stat.S_IFDIR:
        fields["size"] = st.st_size
    return fields


def may_read(path):
    """Whether an ordinary user may open it."""
    os.seteuid(USER)
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        return True
    except PermissionError:
        return False
    finally:
        os.seteuid(0)


def seen(path):
    try:
        st = os.lstat(path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return None
        return {"error": errno.errorcode[error.errno]}
    fields = described(st)
    fields["xattrs"] = {n: os.getxattr(path, n, follow_symlinks=False) for n in os.listxattr(path, follow_symlinks=False)}
    if stat.S_ISLNK(st.st_mode):
        fields["target"] = os.readlink(path)
        return fields
    if stat.S_ISREG(st.st_mode) or stat.S_ISDIR(st.st_mode):
        fields["user"] = may_read(path)
    if stat.S_ISREG(st.st_mode):
        with open(path, "rb") as file:
            fields["content"] = content(file.fileno())
    return fields


def listed(directory):
    """Number and type of each entry, as the directory lists them."""
    with os.scandir(directory) as entries:
        return {e.name: (e.inode(), e.is_dir(follow_symlinks=False), e.is_symlink()) for e in entries}


class Watcher:
    def __init__(self):
        self.fds = {}
        self.maps = {}

    def hold(self, files, maps):
        for path in files:
            self.fds[path] = os.open(path, os.O_RDONLY)
        for path in maps:
            with open(path, "rb") as file:
                self.maps[path] = mmap.mmap(file.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ)

    def look(self):
        facts = {path: seen(path) for path in [".", *NAMES]}
        pending = ["."]
        while pending:
            directory = pending.pop()
            below = "" if directory == "." else directory + "/"
            entries = listed(directory)
            for name in entries:
                facts.setdefault(below + name, seen(below + name))
            found = {}
            for path, fields in facts.items():
                name = path[len(below):]
                if fields is not None and path.startswith(below) and "/" not in name and name != ".":
                    kind = fields["type"]
                    found[name] = (fields["ino"], kind == stat.S_IFDIR, kind == stat.S_IFLNK)
            if entries != found:
                raise Exception(f"{directory} lists {entries}, but there is {found}")
            pending += [below + name for name, (_, is_directory, _) in entries.items() if is_directory]
        for path, fd in self.fds.items():
            facts["fd:" + path] = {**described(os.fstat(fd)), "content": content(fd)}
        for path, mapping in self.maps.items():
            facts["map:" + path] = {"content": mapping[:]}
        return facts

    def forget(self):
        for fd in self.fds.values():
            os.close(fd)
        for mapping in self.maps.values():
            mapping.close()
        self.fds, self.maps = {}, {}


def serve(requests, answers):
    watcher = Watcher()
    while True:
        request = receive(requests)
        if request is None:
            os._exit(0)
        name, *arguments = request
        try:
            if name == "chdir":
                os.chdir(arguments[0])
                answer = None
            else:
                answer = getattr(watcher, name)(*arguments)
            send(answers, ("done", answer))
        except BaseException:
            send(answers, ("failed", traceback.format_exc()))


def send(fd, value):
    data = pickle.dumps(value)
    data = struct.pack("<I", len(data)) + data
    while data:
        data = data[os.write(fd, data):]


def receive(fd):
    head = exactly(fd, 4)
    return None if head is None else pickle.loads(exactly(fd, struct.unpack("<I", head)[0]))


def exactly(fd, length):
    data = b""
    while len(data) < length:
        more = os.read(fd, length - len(data))
        if not more:
            return None
        data += more
    return data


class Other:
    """The watcher, from this side. Its methods are called by name: `other.look()`."""

    def __init__(self):
        read_requests, self.requests = os.pipe()
        self.answers, write_answers = os.pipe()
        if os.fork() == 0:
            os.close(self.requests)
            os.close(self.answers)
            serve(read_requests, write_answers)
        os.close(read_requests)
        os.close(write_answers)

    def __getattr__(self, name):
        def call(*arguments):
            send(self.requests, (name, *arguments))
            answer = receive(self.answers)
            if answer is None:
                sys.exit("The watcher has ended")
            outcome, value = answer
            if outcome == "failed":
                raise Exception(value)
            return value

        return call
