# SPDX-License-Identifier: Apache-2.0
"""How the tests are called, for tools/run-tests.py and tools/busy-tests.py."""
import os
import subprocess


def pytest(marks, *options):
    return ['/usr/bin/python3', '-m', 'pytest', '-p', 'no:cacheprovider', '-q', '--tb=short', '-m', marks, *options]


def run(build, command):
    """Runs it with the tests' environment; both of its outputs are in `stdout`."""
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, 'BUILD': os.path.abspath(build), 'PYTHONDONTWRITEBYTECODE': '1'},
        check=False,
    )
