# SPDX-License-Identifier: Apache-2.0
"""The machines of tools/host/machines.py as parameters: `-m qemu` or `-m bochs` limits a run to one emulator,
`-m ryzen` to one machine."""
import os
import sys

import pytest

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(os.path.dirname(HERE)), 'tools')]
from host import machines  # noqa: E402

ROWS = machines.for_tests()


def pytest_configure(config):
    config.addinivalue_line('markers', 'qemu: runs in QEMU (AMD-V)')
    config.addinivalue_line('markers', 'bochs: runs in Bochs, slower')
    config.addinivalue_line('markers', 'short: part of `make test-13-short`')
    config.addinivalue_line('markers', f'needs(word): left out on machines that lack it: {", ".join(machines.NEEDS)}')
    for row in machines.ROWS:
        config.addinivalue_line('markers', f'{row.name}: runs on {row.title}')


def pytest_generate_tests(metafunc):
    if 'on' in metafunc.fixturenames and not any(
        m.name == 'parametrize' and 'on' in m.args[0] for m in metafunc.definition.iter_markers()
    ):
        marks = {row.name: [getattr(pytest.mark, row.emulator), getattr(pytest.mark, row.name)] for row in ROWS}
        metafunc.parametrize('on', [pytest.param(name, marks=marks[name]) for name in marks], scope='module')


def row_of(item):
    """The machine of a test: its parameter's, or the first of the emulator that it names."""
    if hasattr(item, 'callspec') and 'on' in item.callspec.params:
        return machines.find(item.callspec.params['on'])
    emulator = next((name for name in ('qemu', 'bochs') if item.get_closest_marker(name)), None)
    return machines.find(emulator) if emulator else None


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Before pytest chooses (-m): leaves out what a machine cannot. Behind it: the tests of a file share one machine,
    so first all of one machine, in the order in which they are written."""
    left_out = []
    for item in items:
        row = row_of(item)
        needs = {word for mark in item.iter_markers('needs') for word in mark.args}
        assert needs <= set(machines.NEEDS), f'{item.name} needs {needs}'
        if row and not item.get_closest_marker(row.name):
            item.add_marker(row.name)
        if row and needs & row.lacks:
            left_out.append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    yield
    order = [row.name for row in ROWS]
    items.sort(
        key=lambda item: (
            str(item.fspath),
            order.index(row_of(item).name) if row_of(item) in ROWS else 0,
            item.function.__code__.co_firstlineno,
        )
    )
