# SPDX-License-Identifier: Apache-2.0
"""./mullion, called as a script calls it: no terminal, both of its outputs together."""
import os
import subprocess

from harness import BUILD, ROOT

MULLION = os.path.join(ROOT, 'mullion')


def call(*arguments, cwd=None, build=BUILD, timeout=120):
    """How it ended. Whatever was wrong, it says so in words."""
    result = subprocess.run(
        [MULLION, *arguments, '--build', str(build)],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=timeout,
        check=False,
    )
    assert b'Traceback' not in result.stdout, result.stdout.decode()
    return result


def answer(*arguments, **how):
    """Its status and what it said."""
    result = call(*arguments, **how)
    return result.returncode, result.stdout.decode()
