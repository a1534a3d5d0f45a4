#!/usr/bin/env bash
# Boots systemd in namespaces of its own, where it runs a script as a service and ends: boot.sh <directory> <script>
#
# What the script prints goes to <directory>/out. Units in <directory>/units are there beside it, and none of the machine's;
# <directory>/sbin, if there is one, is its /sbin. It can change nothing of the machine: its /run and cgroups are its own and go with
# it, /proc/sys is read-only.
set -euo pipefail
directory=$1
script=$2
group=spinney-test-$$

if [ "${3:-}" = --inside ]; then
  mount --make-rprivate /
  awk '/ - fuse.spinney / { print $5 }' /proc/self/mountinfo | while read -r copy; do umount -l "$copy"; done
  mount -t proc proc /proc
  mount --bind /proc/sys /proc/sys
  mount -o remount,bind,ro /proc/sys
  # systemd mounts its own, in which this namespace's cgroup is the root.
  umount -l /sys/fs/cgroup
  [ ! -d "$directory/sbin" ] || mount --bind "$directory/sbin" "$(readlink -f /sbin)"
  mount -t tmpfs tmpfs /run
  mkdir -p /run/lock /run/units
  cp "$directory"/units/* /run/units
  for target in sysinit basic shutdown remote-fs multi-user; do
    printf '[Unit]\nDefaultDependencies=no\n' >"/run/units/$target.target"
  done
  cat >/run/units/script.service <<END
[Unit]
SuccessAction=exit-force
FailureAction=exit-force
[Service]
Type=oneshot
Environment=DIR=$directory PATH=$PATH
ExecStart=bash -euo pipefail $script
StandardOutput=file:$directory/out
StandardError=file:$directory/out
END
  SYSTEMD_UNIT_PATH=/run/units container=test exec /lib/systemd/systemd --system --unit=script.service \
    --log-target=null --show-status=no
fi

rm -f "$directory/out"
groups=()
clean_up() {
  local made
  for made in "${groups[@]}"; do find "$made" -depth -type d -exec rmdir {} + || true; done
}
trap clean_up EXIT
while read -r procs; do
  made=$(dirname "$procs")/$group
  mkdir "$made" || continue
  groups+=("$made")
  # A hierarchy may want settings first (cpuset of version 1): then this one stays at its root.
  (echo $BASHPID >"$made/cgroup.procs") 2>/dev/null || continue
  joined+=("$made")
done < <(find /sys/fs/cgroup -maxdepth 2 -name cgroup.procs)
(
  for made in "${joined[@]}"; do echo $BASHPID >"$made/cgroup.procs"; done
  # In any case before whoever called this loses patience.
  exec timeout -k 2 100 unshare --pid --mount --uts --ipc --cgroup --fork --kill-child "$0" "$directory" "$script" --inside
)
