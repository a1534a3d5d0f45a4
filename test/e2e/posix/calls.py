"""The system calls that a sequence is made of, each by its name; client.py runs them."""
import ctypes
import errno
import fcntl
import hashlib
import json
import mmap
import os
import shutil
import socket
import stat
import struct
import subprocess
import time

libc = ctypes.CDLL(None, use_errno=True)
AT_FDCWD = -100
OFFSET = ctypes.c_int64
BEGAN = int(time.time()) - 1

fds = {}
maps = {}
children = {}


def encode(text):
    return text.encode("latin-1")


def decode(data):
    return data.decode("latin-1")


def flags_of(names):
    value = 0
    for name in names.split("|"):
        value |= getattr(os, name)
    return value


def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result


def place(name):
    """A path, or the descriptor of an open file."""
    return fds[name] if name in fds else encode(name)


def timespecs(times):
    omit, now = (1 << 30) - 2, (1 << 30) - 1
    packed = b""
    for t in times:
        if t == "omit":
            packed += struct.pack("qq", 0, omit)
        elif t == "now":
            packed += struct.pack("qq", 0, now)
        else:
            packed += struct.pack("qq", t[0], t[1])
    return packed


def status(st):
    kind = stat.S_IFMT(st.st_mode)
    told = {"mode": oct(st.st_mode), "nlink": st.st_nlink, "uid": st.st_uid, "gid": st.st_gid}
    if kind != stat.S_IFDIR:
        told["size"] = st.st_size
    if kind in (stat.S_IFCHR, stat.S_IFBLK):
        told["rdev"] = st.st_rdev
    return told


def statx(dirfd, path, flags):
    buffer = ctypes.create_string_buffer(256)
    checked(libc.statx(dirfd, path, flags, 0xFFF, buffer))
    return buffer.raw


class Calls:
    # Names.
    def mkdir(self, path, mode=0o755):
        os.mkdir(encode(path), mode)

    def rmdir(self, path):
        os.rmdir(encode(path))

    def unlink(self, path):
        os.unlink(encode(path))

    def create(self, path, content="", mode=0o644):
        fd = os.open(encode(path), os.O_CREAT | os.O_WRONLY | os.O_TRUNC, mode)
        try:
            os.write(fd, encode(content))
        finally:
            os.close(fd)

    def symlink(self, target, path):
        os.symlink(encode(target), encode(path))

    def readlink(self, path):
        return decode(os.readlink(encode(path)))

    def mkfifo(self, path, mode=0o644):
        os.mkfifo(encode(path), mode)

    def mknod(self, path, mode, major=0, minor=0):
        os.mknod(encode(path), mode, os.makedev(major, minor))

    def socket(self, path):
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(encode(path))

    def link(self, old, new, follow=False):
        checked(libc.linkat(AT_FDCWD, encode(old), AT_FDCWD, encode(new), 0x400 if follow else 0))

    def linkfd(self, name, new):
        checked(libc.linkat(fds[name], b"", AT_FDCWD, encode(new), 0x1000))

    def linkproc(self, name, new):
        checked(libc.linkat(AT_FDCWD, b"/proc/self/fd/%d" % fds[name], AT_FDCWD, encode(new), 0x400))

    def rename(self, old, new, flags=0):
        if flags:
            checked(libc.renameat2(AT_FDCWD, encode(old), AT_FDCWD, encode(new), flags))
        else:
            os.rename(encode(old), encode(new))

    def list(self, path):
        return sorted(decode(name) for name in os.listdir(encode(path)))

    def listfd(self, name):
        return sorted(os.listdir(fds[name]))

    def chdir(self, path):
        os.chdir(encode(path))

    def getcwd(self):
        return os.path.basename(os.getcwd())

    # Attributes.
    def stat(self, path):
        return status(os.stat(encode(path)))

    def lstat(self, path):
        return status(os.lstat(encode(path)))

    def fstat(self, name):
        return status(os.fstat(fds[name]))

    def times(self, path):
        """Access and modification time; what the clock gave since this program began is "now"."""
        st = os.lstat(encode(path))
        return [
            "now" if BEGAN <= t // 10**9 <= time.time() + 1 else divmod(t, 10**9)
            for t in (st.st_atime_ns, st.st_mtime_ns)
        ]

    def same(self, *paths):
        """Whether they are one inode."""
        return len({os.lstat(encode(path)).st_ino for path in paths}) == 1

    def statx(self, path):
        """The mask, and which of the times is not before birth."""
        raw = statx(AT_FDCWD, encode(path), 0x100)
        mask = struct.unpack_from("<I", raw, 0)[0] & 0xFFF
        birth, changed, modified = (struct.unpack_from("<qI", raw, at) for at in (80, 96, 112))
        return {"mask": mask, "ctime": changed >= birth, "mtime": modified >= birth}

    def chmod(self, path, mode):
        os.chmod(place(path), mode)

    def chown(self, path, uid, gid):
        os.chown(place(path), uid, gid)

    def lchown(self, path, uid, gid):
        os.lchown(encode(path), uid, gid)

    def utimens(self, path, atime, mtime, follow=False):
        checked(
            libc.utimensat(AT_FDCWD, encode(path), timespecs([atime, mtime]), 0 if follow else 0x100)
        )

    def futimens(self, name, atime, mtime):
        checked(libc.futimens(fds[name], timespecs([atime, mtime])))

    def access(self, path, mode):
        checked(libc.faccessat(AT_FDCWD, encode(path), mode, 0x200))

    def statvfs(self, path):
        found = os.statvfs(encode(path))
        return {"namemax": found.f_namemax, "nosuid": bool(found.f_flag & os.ST_NOSUID)}

    # Extended attributes.
    def setxattr(self, path, name, value, flags=0):
        os.setxattr(place(path), encode(name), encode(value), flags)

    def lsetxattr(self, path, name, value, flags=0):
        os.setxattr(encode(path), encode(name), encode(value), flags, follow_symlinks=False)

    def getxattr(self, path, name):
        return decode(os.getxattr(place(path), encode(name)))

    def getxattrsize(self, path, name, size):
        buffer = ctypes.create_string_buffer(max(size, 1))
        return checked(libc.getxattr(encode(path), encode(name), buffer, size))

    def removexattr(self, path, name):
        os.removexattr(place(path), encode(name))

    def listxattr(self, path):
        return sorted(name for name in os.listxattr(place(path)) if name != "security.selinux")

    def setacl(self, path, kind, entries):
        """`entries`: [tag, permissions, id], as on the wire."""
        value = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
        os.setxattr(place(path), "system.posix_acl_" + kind, value)

    def getacl(self, path, kind):
        value = os.getxattr(place(path), "system.posix_acl_" + kind)
        return [struct.unpack_from("<HHI", value, at) for at in range(4, len(value), 8)]

    # Open files.
    def open(self, name, path, flags="O_RDONLY", mode=0o644):
        fds[name] = os.open(encode(path), flags_of(flags), mode)

    def close(self, name):
        os.close(fds.pop(name))

    def read(self, name, length):
        return decode(os.read(fds[name], length))

    def pread(self, name, length, offset):
        return decode(os.pread(fds[name], length, offset))

    def write(self, name, data):
        return os.write(fds[name], encode(data))

    def pwrite(self, name, data, offset):
        return os.pwrite(fds[name], encode(data), offset)

    def fill(self, name, length, offset):
        return os.pwrite(fds[name], bytes(i * 7 % 251 for i in range(length)), offset)

    def lseek(self, name, offset, whence):
        return os.lseek(fds[name], offset, getattr(os, whence))

    def truncate(self, path, size):
        checked(libc.truncate(encode(path), OFFSET(size)))

    def ftruncate(self, name, size):
        checked(libc.ftruncate(fds[name], OFFSET(size)))

    def fallocate(self, name, mode, offset, length):
        checked(libc.fallocate(fds[name], mode, OFFSET(offset), OFFSET(length)))

    def posixfallocate(self, name, offset, length):
        os.posix_fallocate(fds[name], offset, length)

    def allocated(self, path):
        """Whether most of the file is more than holes."""
        st = os.stat(encode(path))
        return st.st_blocks * 512 * 2 > st.st_size

    def copyrange(self, source, target, length, source_offset=None, target_offset=None):
        return os.copy_file_range(fds[source], fds[target], length, source_offset, target_offset)

    def fsync(self, name):
        os.fsync(fds[name])

    def digest(self, path):
        with open(encode(path), "rb") as file:
            return hashlib.sha1(file.read()).hexdigest()

    def direct(self, path, length):
        """Writes and reads with O_DIRECT, through aligned memory."""
        memory = mmap.mmap(-1, length)
        memory.write(b"d" * length)
        fd = os.open(encode(path), os.O_CREAT | os.O_RDWR | os.O_DIRECT, 0o644)
        try:
            written = os.pwritev(fd, [memory], 0)
            read = mmap.mmap(-1, length)
            return [written, os.preadv(fd, [read], 0), read[:] == memory[:]]
        finally:
            os.close(fd)

    def mmap(self, name, fd, length, write=True):
        prot = mmap.PROT_READ | (mmap.PROT_WRITE if write else 0)
        maps[name] = mmap.mmap(fds[fd], length, mmap.MAP_SHARED, prot)

    # What is mapped beyond the end of the file would end the process.
    def peek(self, name, offset, length):
        if offset + length > min(maps[name].size(), len(maps[name])):
            return "beyond"
        return decode(maps[name][offset : offset + length])

    def poke(self, name, offset, data):
        if offset + len(data) > min(maps[name].size(), len(maps[name])):
            return "beyond"
        maps[name][offset : offset + len(data)] = encode(data)

    def msync(self, name):
        maps[name].flush()

    def munmap(self, name):
        maps.pop(name).close()

    # Locks, tried by another process too.
    def flock(self, name, operation):
        fcntl.flock(fds[name], operation | fcntl.LOCK_NB)

    def lock(self, name, kind, start, length):
        fcntl.fcntl(fds[name], fcntl.F_SETLK, struct.pack("hhqqi4x", kind, 0, start, length, 0))

    def getlock(self, name, kind, start, length):
        raw = fcntl.fcntl(fds[name], fcntl.F_GETLK, struct.pack("hhqqi4x", kind, 0, start, length, 0))
        return list(struct.unpack("hhqqi4x", raw)[:4])

    def ofdlock(self, name, kind, start, length):
        fcntl.fcntl(fds[name], 37, struct.pack("hhqqi4x", kind, 0, start, length, 0))

    def other(self, *calls):
        """The calls in another process, which ends with them."""
        read_end, write_end = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(read_end)
            os.write(write_end, json.dumps([run(call) for call in calls]).encode())
            os._exit(0)
        os.close(write_end)
        with os.fdopen(read_end) as pipe:
            text = pipe.read()
        os.waitpid(pid, 0)
        return json.loads(text)

    # Programs.
    def install(self, path):
        shutil.copyfile("/bin/sleep", encode(path))
        os.chmod(encode(path), 0o755)

    def spawn(self, name, path):
        children[name] = subprocess.Popen([encode(path), "30"])

    def kill(self, name):
        child = children.pop(name)
        child.kill()
        child.wait()

    def execute(self, path):
        return subprocess.run([os.path.join(b".", encode(path)), "0"], check=False).returncode

    # Who calls.
    def as_(self, uid, gid=None, groups=()):
        become_root()
        os.setgroups(list(groups))
        gid = uid if gid is None else gid
        os.setresgid(gid, gid, 0)
        os.setresuid(uid, uid, 0)

    def umask(self, mask):
        os.umask(mask)

    # In place of a call, where a mount has a limit: see exclusions.ts.
    def nothing(self):
        pass

    def owned(self, call):
        """The call; what it made is given to root then, as a mount does that knows no callers."""
        name, *arguments = call
        path = encode(arguments[1] if name in ("open", "symlink") else arguments[0])
        made = as_root(lambda: os.path.realpath(path))
        there = as_root(lambda: os.path.lexists(made))
        try:
            return invoke(call)
        finally:
            if not there:
                as_root(lambda: give_to_root(made))


def give_to_root(path):
    """Keeps the mode, and the group that the directory hands down."""
    if not os.path.lexists(path):
        return
    st, parent = os.lstat(path), os.stat(os.path.dirname(path))
    os.lchown(path, 0, parent.st_gid if parent.st_mode & stat.S_ISGID else 0)
    if not stat.S_ISLNK(st.st_mode):
        os.chmod(path, stat.S_IMODE(st.st_mode))


def as_root(action):
    """The caller's identity is set aside for what must not fail and is not what is compared."""
    uid, gid, groups = os.geteuid(), os.getegid(), os.getgroups()
    become_root()
    try:
        return action()
    finally:
        if uid != 0:
            os.setgroups(groups)
            os.setresgid(gid, gid, 0)
            os.setresuid(uid, uid, 0)


def become_root():
    if os.geteuid() != 0:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)
        os.setgroups([])


def invoke(call):
    name, *arguments = call
    return getattr(Calls, name + "_" if name == "as" else name)(None, *arguments)


def run(call):
    try:
        return json.loads(json.dumps(invoke(call)))
    except KeyError:
        return {"error": "not open"}
    except OSError as error:
        return {"error": errno.errorcode.get(error.errno, str(error.errno))}
