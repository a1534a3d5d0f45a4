/**
 * The guard's program, for any POSIX shell: a shell takes 1 MB, where a Node process takes 45.
 *
 * Its input is a pipe that the daemon alone has open for writing, so the end of the pipe is the end of the daemon, whatever
 * number that had. What is read before is what the daemon has to say, a line each:
 *
 * - `up`: a daemon that the guard has started serves now.
 * - `leave`: the end that comes is wanted; the mount is to be taken away if it is still there then.
 * - `done`: the mount is gone, and there is nothing left to guard.
 * - `cause TEXT`: why the daemon is going to end.
 * - `since SECONDS`, `next COMMAND`: it gives the mount over to another program, and has not answered since then.
 *
 * What must hold: the guard keeps the connection (descriptor 3) open until it gives the mount up; a daemon that it starts is
 * born with the pipe (descriptor 4) and with the connection; it waits for nothing but the pipe and for what has ended; and where
 * it fails itself (it cannot fork, or open the pipe), it takes the mount away.
 */
import { GUARD_VARIABLE } from '../../process/inheritance.js';

/** Deaths in a row that are no accident any more. */
export const MOST_DEATHS = 5;
/** Within how many seconds. Starts that did not come up count for longer. */
export const DEATHS_WITHIN_SECONDS = 60;

/** What the shell shows as its name in a list of processes. */
export const GUARD_NAME = 'spinney-guard';

/** Of the guard, and of a daemon that it has started: the connection, and that one's end of the pipe. */
export const CONNECTION_DESCRIPTOR = 3;
const PIPE_DESCRIPTOR = 4;

/**
 * Arguments: mount id, device, place, and `type source`, as the table of mounts has them; the command that takes the mount away, and
 * the one that starts the daemon (empty: it is not started again), both in the shell's own quoting.
 */
export const GUARD_SCRIPT = `
trap '' HUP INT QUIT TERM ABRT PIPE ALRM USR1 USR2
trap take_away EXIT
nl='
'
id=$1 device=$2 place=$3 kind=$4 unmount=$5 current=$6
started=$current child= up=yes failed=0 d1= d2= d3= d4= d5=

say() {
  printf '{"level":"%s","time":"%s","pid":%s,"msg":"%s"}\\n' \\
    "$1" "$(date -u +%Y-%m-%dT%H:%M:%S.000Z)" "$$" "$(printf %s "$2" | tr -d '"\\\\\\n')" >&2 || :
}

# Only the mount that this guard was made for, and only while nothing is mounted over it.
take_away() {
  trap - EXIT
  exec 3>&-
  top=no
  while read -r entry parent number root at rest; do
    [ "$at" = "$place" ] || continue
    case "$entry $number $rest" in
      "$id $device "*" - $kind "*) top=yes ;;
      *) top=no ;;
    esac
  done </proc/self/mountinfo
  [ "$top" = yes ] || exit 0
  eval "exec $unmount"
}

give_up() {
  say error "$1; last: $cause. The mount is taken away: mount it again when the cause is mended"
  take_away
}

while :; do
  next= cause= leave=no told=
  while read -r word rest; do
    case $word in
      up) up=yes failed=0 current=$started ;;
      leave) leave=yes ;;
      done) trap - EXIT; exit 0 ;;
      cause) cause=$rest ;;
      since) told=$rest ;;
      next) next=$rest ;;
    esac
  done

  read -r now idle </proc/uptime
  # Clients wait since the last daemon that served has ended.
  [ "$up" = no ] || since=\${told:-$now}
  if [ -n "$child" ]; then
    # The shell would say on its error stream what has become of its child.
    { wait "$child"; } 2>/dev/null
    code=$?
    if [ -n "$cause" ]; then :
    elif [ "$code" -gt 128 ]; then cause="signal $((code - 128))"
    else cause="exit code $code"
    fi
  fi
  cause=\${cause:-it was killed or crashed}
  [ "$leave" = no ] && [ -n "$current" ] || take_away

  if [ -n "$next" ]; then
    started=$next reason=upgrade
  elif [ "$up" = no ] && [ "$started" != "$current" ]; then
    say error "the upgrade failed: the new daemon did not come up ($cause); starting the one before again"
    started=$current reason="failed upgrade: $cause"
  else
    [ "$up" = yes ] || failed=$((failed + 1))
    [ "$failed" -lt ${MOST_DEATHS} ] || give_up "the daemon did not come up ${MOST_DEATHS} times in a row"
    d1=$d2 d2=$d3 d3=$d4 d4=$d5 d5=\${now%.*}
    [ -z "$d1" ] || [ $((d5 - d1)) -ge ${DEATHS_WITHIN_SECONDS} ] ||
      give_up "the daemon died ${MOST_DEATHS} times within ${DEATHS_WITHIN_SECONDS} s"
    started=$current reason=$cause
    # What keeps it from coming up may pass.
    [ "$up" = yes ] || sleep 1
  fi

  up=no
  # The pipe's other end, which nobody has at this moment: the child is born with it, so that its end is not missed.
  command exec ${PIPE_DESCRIPTOR}>/proc/self/fd/0 || take_away
  ${GUARD_VARIABLE}="${CONNECTION_DESCRIPTOR} ${PIPE_DESCRIPTOR} $since $reason"
  export ${GUARD_VARIABLE}
  eval "exec $started" </dev/null &
  child=$!
  exec ${PIPE_DESCRIPTOR}>&-
done
`;
