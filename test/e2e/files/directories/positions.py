"""
Positions in a directory whose entries come and go. Arguments: directory, entries that stay, bytes of buffers, seed, and
"alone" or "beside" (another process makes and removes entries all the time).

Handles read all or a part of the directory and note the offset after each entry. After a seek to any of them, what has
been there throughout is given exactly once if it followed, and not at all if it did not. The kernel keeps listings of
one handle for others and drops them when the directory changes; so handles are read in turns, and others begin anew.
"""
import os
import random
import select
import sys

from getdents import Directory

top, count, size, seed, company = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
random.seed(seed)
ROUNDS = 30
os.mkdir(top)
staying = [f"{i:06}" for i in range(count)]
for name in staying:
    os.mknod(f"{top}/{name}")
is_staying = set(staying)


class Volatile:
    """Entries that lie between the others in any order that goes by names, and come and go."""

    def __init__(self, letter):
        self.letter = letter
        self.present = []

    def change(self, times):
        for _ in range(times):
            name = f"{random.randrange(count):06}{self.letter}{random.randrange(4)}"
            if name in self.present:
                os.unlink(f"{top}/{name}")
                self.present.remove(name)
            elif self.present and random.random() < 0.3:
                old = self.present.pop(random.randrange(len(self.present)))
                os.rename(f"{top}/{old}", f"{top}/{name}")
                self.present.append(name)
            else:
                os.mknod(f"{top}/{name}")
                self.present.append(name)


class Reader:
    def __init__(self):
        self.directory = Directory(top, size)
        self.order = []
        # Offset, and how many of the staying entries were given before it.
        self.told = [(0, 0)]
        self.read(random.choice([count // 3, count, 2 * count]))

    def read(self, least):
        """Reads on from where the first pass is, so that more is known."""
        self.directory.seek(self.told[-1][0])
        while len(self.order) < least and (more := self.directory.some()):
            for name, offset in more:
                if name in is_staying:
                    self.order.append(name)
                self.told.append((offset, len(self.order)))

    def check(self):
        offset, before = random.choice(self.told)
        self.directory.seek(offset)
        # A changing directory may be read in parts, with changes between them.
        seen = []
        while more := self.directory.some():
            seen += [name for name, _ in more if name in is_staying]
            if company == "alone" and random.random() < 0.1:
                volatile.change(3)
        expected = is_staying.difference(self.order[:before])
        missing, again = sorted(expected.difference(seen)), len(seen) - len(set(seen))
        wrong = sorted(set(seen).difference(expected))
        if missing or again or wrong:
            raise Exception(
                f"seed {seed}: after {offset}, {before} entries on: {len(missing)} missing {missing[:3]}, "
                f"{again} twice, {len(wrong)} from before {wrong[:3]}"
            )


def make_company():
    """A process that changes the directory until the returned pipe is closed."""
    read_end, write_end = os.pipe()
    if os.fork() == 0:
        os.close(write_end)
        other = Volatile("w")
        while not select.select([read_end], [], [], 0)[0]:
            other.change(20)
        os._exit(0)
    os.close(read_end)
    return write_end


volatile = Volatile("v")
volatile.change(count // 10)
if company == "beside":
    pipe = make_company()
readers = [Reader()]
for _ in range(ROUNDS):
    volatile.change(random.choice([0, 1, 30]))
    if random.random() < 0.4:
        Directory(top).rest()
    if len(readers) < 6 and random.random() < 0.3:
        readers.append(Reader())
    reader = random.choice(readers)
    if random.random() < 0.3:
        reader.read(len(reader.order) + count // 4)
    reader.check()
if company == "beside":
    os.close(pipe)
    os.wait()
print("held")
