# What an administrator does with the unit, under a real systemd. $DIR has the store, the mountpoint and the configuration.
state() { systemctl show --value --property="$1" spinney@photos; }
await() { until [ "$(state "$1")" = "$2" ]; do sleep 0.05; done; }
mounted() { grep -c " $DIR/mnt .* fuse.spinney " /proc/self/mountinfo || true; }

echo '# start'
systemctl start spinney@photos
state StatusText
echo text >"$DIR/mnt/file"
cat "$DIR/mnt/file"
daemon=$(state MainPID)
tr '\0' ' ' <"/proc/$daemon/cmdline" | grep -o 'mount --foreground.*'
grep NoNewPrivs "/proc/$daemon/status"
ls -l "/proc/$daemon/fd" | grep -c /dev/fuse
systemctl reload spinney@photos

echo '# killed'
kill -KILL "$daemon"
await NRestarts 1
await ActiveState active
cat "$DIR/mnt/file"

echo '# hangs'
kill -STOP "$(state MainPID)"
await NRestarts 2
await ActiveState active
cat "$DIR/mnt/file"

echo '# unmounted by hand'
"$DIR/spinney" umount "$DIR/mnt"
await ActiveState inactive
state Result
mounted

echo '# started in the background'
systemctl start spinney@detached
systemctl show --value --property=StatusText spinney@detached
[ "$(systemctl show --value --property=MainPID spinney@detached)" = "$(basename "$DIR"/store/daemon-*.json | tr -cd 0-9)" ]
mounted
systemctl stop spinney@detached
systemctl show --value --property=Result spinney@detached
mounted
ls "$DIR"/store/daemon-*.json 2>/dev/null || echo 'the store is free'

echo '# wrong options'
systemctl start spinney@wrong 2>/dev/null || true
systemctl show --value --property=ExecMainStatus spinney@wrong
systemctl show --value --property=NRestarts spinney@wrong

echo '# automount'
place=$(systemd-escape --path "$DIR/mnt")
systemctl start "$place.automount"
grep -c 'autofs systemd-1' /proc/self/mountinfo
cat "$DIR/mnt/file"
systemctl is-active "$place.mount"
systemctl stop "$place.automount" "$place.mount"
mounted
