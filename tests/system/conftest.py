# SPDX-License-Identifier: Apache-2.0
"""Emulators as parameters: `-m qemu` or `-m bochs` limits a run to one."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))


def pytest_configure(config):
    config.addinivalue_line('markers', 'qemu: runs in QEMU (AMD-V)')
    config.addinivalue_line('markers', 'bochs: runs in Bochs (VT-x), slower')


BOTH = [pytest.param('qemu', marks=pytest.mark.qemu), pytest.param('bochs', marks=pytest.mark.bochs)]


def pytest_generate_tests(metafunc):
    if 'on' in metafunc.fixturenames and not any(
        m.name == 'parametrize' and 'on' in m.args[0] for m in metafunc.definition.iter_markers()
    ):
        metafunc.parametrize('on', BOTH, scope='module')


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """The tests of a file share one machine: first all of one emulator, in the order in which they are written."""
    items.sort(
        key=lambda item: (
            str(item.fspath),
            {'qemu': 0, 'bochs': 1}.get(getattr(item, 'callspec', None) and item.callspec.params.get('on'), 0),
            item.function.__code__.co_firstlineno,
        )
    )
