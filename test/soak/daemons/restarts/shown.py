"""What is in a directory, as far as it is the same on every filesystem: a line for each path."""
import hashlib
import os
import stat
import sys

root = sys.argv[1]
lines = []
for place, directories, names in os.walk(root):
    for name in directories + names:
        path = os.path.join(place, name)
        status = os.lstat(path)
        shown = [os.path.relpath(path, root), oct(status.st_mode)]
        if stat.S_ISREG(status.st_mode):
            with open(path, "rb") as file:
                shown += [str(status.st_nlink), hashlib.sha256(file.read()).hexdigest()]
            shown += [f"{key}={os.getxattr(path, key)!r}" for key in sorted(os.listxattr(path)) if key.startswith("user.")]
        elif stat.S_ISLNK(status.st_mode):
            shown.append(os.readlink(path))
        lines.append(" ".join(shown))
print("\n".join(sorted(lines)))
