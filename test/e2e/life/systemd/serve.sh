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
# The port is one that was free: it is that of the daemon's socket that listens.
sockets=$(ls -l "/proc/$daemon/fd" | sed -n 's/.*socket:\[\(.*\)\]/\1/p')
port=$(awk -v sockets="$sockets" 'BEGIN { split(sockets, list); for (i in list) own[list[i]] }
  $4 == "0A" && $10 in own { split($2, address, ":"); print address[2] }' /proc/net/tcp)
curl -s "http://127.0.0.1:$((16#$port))/metrics" | grep '^spinney_healthy'
systemctl reload spinney@photos

echo '# killed'
exec 5<>"$DIR/mnt/file" 6>"$DIR/mnt/locked"
flock -n 6
kill -KILL "$daemon"
cat "$DIR/mnt/file"
await NRestarts 1
await ActiveState active
cat <&5
flock -n "$DIR/mnt/locked" true || echo 'still locked'

echo '# hangs'
kill -STOP "$(state MainPID)"
cat "$DIR/mnt/file"
await NRestarts 2
await ActiveState active
flock -n "$DIR/mnt/locked" true || echo 'still locked'

echo '# upgraded'
"$DIR/spinney" upgrade "$DIR/mnt" | sed 's/[0-9.]* s$/N s/; s/with .*;/with this version;/'
await NRestarts 3
await ActiveState active
flock -n "$DIR/mnt/locked" true || echo 'still locked'
{ "$DIR/spinney" upgrade "$DIR/mnt" --cache-size 128 2>&1 || true; } | sed "s/.*: the service/the service/"
exec 5>&- 6>&-

echo '# dies again and again'
kill -KILL "$(state MainPID)"
await NRestarts 4
await ActiveState active
kill -KILL "$(state MainPID)"
await ActiveState failed
until [ "$(mounted)" = 0 ]; do sleep 0.05; done
ls -A "$DIR/mnt"
systemctl reset-failed spinney@photos
systemctl start spinney@photos

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
