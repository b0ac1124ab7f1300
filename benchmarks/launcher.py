"""A process as small as an interpreter can be, which starts what is measured.

A child begins its life with the memory of whoever forks it, and the kernel counts
that in its largest resident set. Reads one command after the other from standard
input and answers with what it took, both by `marshal`. Imports next to nothing.
"""

import marshal
import os
import sys


def main() -> None:
    """Run commands until standard input ends."""
    while True:
        try:
            order = marshal.load(sys.stdin.buffer)
        except EOFError:
            return
        command, environment, directory, output = order
        child = os.fork()
        if not child:
            try:
                os.chdir(directory)
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                os.dup2(os.open(output, os.O_WRONLY), 1)
                os.dup2(1, 2)
                os.execve(command[0], command, environment)
            finally:
                os._exit(127)
        _, status, resources = os.wait4(child, 0)
        cpu = resources.ru_utime + resources.ru_stime
        answer = os.waitstatus_to_exitcode(status), cpu, resources.ru_maxrss
        marshal.dump(answer, sys.stdout.buffer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
