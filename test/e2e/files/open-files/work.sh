# What other programs do meanwhile: a database, a repository, directories, durable files. To be run in a directory of the mount.
python3 - <<'END'
import os, sqlite3
for mode in ("delete", "wal"):
    db = sqlite3.connect(f"{mode}.db")
    db.execute(f"pragma journal_mode={mode}")
    db.execute("create table numbers (n)")
    for batch in range(5):
        with db:
            db.executemany("insert into numbers values (?)", ((batch * 100 + i,) for i in range(100)))
    assert db.execute("select count(*), sum(n) from numbers").fetchone() == (500, 124750)
    db.close()
for i in range(100):
    with open(f"durable-{i}", "w") as file:
        file.write(str(i))
        os.fsync(file.fileno())
END
git init -q repository
cd repository
git config user.name x
git config user.email x@y
for i in $(seq 3); do
  seq $((i * 100)) > "file-$i"
  git add . && git commit -qm "$i"
done
git branch other && git checkout -q other && git gc -q && git fsck --strict
test "$(git log --oneline | wc -l)" = 3
cd ..
mkdir -p $(seq -f 'directories/%g' 200)
