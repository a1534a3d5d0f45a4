"""A directory read by getdents64 itself, with a buffer of any size: entries with the offset after each, and seeks."""
import ctypes
import os
import struct

libc = ctypes.CDLL(None, use_errno=True)


class Directory:
    def __init__(self, path, size=32768):
        self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        self.buffer = ctypes.create_string_buffer(size)

    def some(self):
        """The next entries, each a name and the offset after it; none at the end."""
        length = libc.getdents64(self.fd, self.buffer, len(self.buffer))
        if length < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        raw = self.buffer.raw[:length]
        entries = []
        at = 0
        while at < length:
            _, offset, size, _ = struct.unpack_from("<QqHB", raw, at)
            entries.append((raw[at + 19 : raw.index(b"\0", at + 19)].decode("latin-1"), offset))
            at += size
        return entries

    def rest(self):
        """All that follows."""
        entries = []
        while more := self.some():
            entries += more
        return entries

    def seek(self, offset):
        os.lseek(self.fd, offset, os.SEEK_SET)

    def close(self):
        os.close(self.fd)
