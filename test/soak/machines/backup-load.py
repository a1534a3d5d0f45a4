"""Changes names and contents below a directory until a file `stop` is there: argv: directory, seed."""
import os, random, sys

root, seed = sys.argv[1], int(sys.argv[2])
rng = random.Random(seed)
base = os.path.join(root, f'client-{seed}')
os.makedirs(base, exist_ok=True)
opened = [open(os.path.join(base, f'open-{i}'), 'ab', buffering=0) for i in range(3)]
names = []
count = 0
while not os.path.exists(os.path.join(root, 'stop')):
    count += 1
    what = rng.random()
    if what < 0.35 or len(names) < 5:
        name = os.path.join(base, f'd{rng.randrange(8)}', f'f{count}')
        os.makedirs(os.path.dirname(name), exist_ok=True)
        with open(name, 'wb') as file:
            file.write(rng.randbytes(rng.randrange(20_000)))
        names.append(name)
    elif what < 0.55:
        with open(rng.choice(names), 'r+b') as file:
            file.seek(rng.randrange(10_000))
            file.write(rng.randbytes(500))
    elif what < 0.7:
        at = rng.randrange(len(names))
        to = os.path.join(base, f'r{count}')
        os.rename(names[at], to)
        names[at] = to
    elif what < 0.8:
        os.unlink(names.pop(rng.randrange(len(names))))
    elif what < 0.85:
        to = os.path.join(base, f'l{count}')
        os.link(rng.choice(names), to)
        names.append(to)
    else:
        rng.choice(opened).write(rng.randbytes(3_000))
    if len(names) > 400:
        os.unlink(names.pop(0))
