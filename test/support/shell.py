"""Types into a shell on a terminal of its own, as a person does: shell.py <text to await> <what to type> -- <command...>

Prints what the shell showed, once the text came after the last key; gives up after 30 s without it.
"""
import os, pty, select, sys, time

awaited, typed, _, *command = sys.argv[1:]
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(command[0], command)
shown = ""
deadline = time.monotonic() + 30


def read_until(text):
    """Reads on until the text is shown, from where the last one was."""
    global shown
    start = len(shown)
    while text not in shown[start:]:
        if time.monotonic() > deadline or not select.select([terminal], [], [], 1)[0]:
            if time.monotonic() > deadline:
                sys.exit(f"{text!r} was not shown, only: {shown!r}")
            continue
        try:
            shown += os.read(terminal, 4096).decode(errors="replace")
        except OSError:
            sys.exit(f"the shell ended: {shown!r}")


read_until("ready$ ")
os.write(terminal, typed.encode().decode("unicode_escape").encode())
read_until(awaited)
os.kill(pid, 9)
os.waitpid(pid, 0)
print(shown)
