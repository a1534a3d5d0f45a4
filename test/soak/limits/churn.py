"""
Changes that leave as much as there was: churn.py DIRECTORY SEED OPERATIONS. Without OPERATIONS: makes the files first.
"""
import os
import random
import sys

FILES = 1_600
PER_DIRECTORY = 40
# Of an extended attribute, so that the tree is large and its making short.
VALUE = 12_000


def path(root, number):
    return os.path.join(root, f"d{number // PER_DIRECTORY}", f"f{number}")


def make(at, pick):
    with open(at, "wb") as file:
        if pick.random() < 0.1:
            file.write(b"x" * pick.randrange(20_000))
    os.setxattr(at, "user.x", pick.randbytes(VALUE))


root, pick = sys.argv[1], random.Random(int(sys.argv[2]))
if len(sys.argv) == 3:
    for number in range(FILES):
        if number % PER_DIRECTORY == 0:
            os.mkdir(os.path.dirname(path(root, number)))
        make(path(root, number), pick)
else:
    for _ in range(int(sys.argv[3])):
        at = path(root, pick.randrange(FILES))
        step = pick.random()
        if step < 0.3:
            os.unlink(at)
            make(at, pick)
        elif step < 0.5:
            os.setxattr(at, "user.x", pick.randbytes(VALUE))
        elif step < 0.6:
            os.rename(at, f"{at}.moved")
            os.rename(f"{at}.moved", at)
        elif step < 0.7:
            os.truncate(at, pick.randrange(20_000))
        elif step < 0.71:
            names = os.listdir(os.path.dirname(at))
            assert len(names) == PER_DIRECTORY, len(names)
        else:
            assert len(os.getxattr(at, "user.x")) == VALUE
            os.stat(at)
