# SPDX-License-Identifier: Apache-2.0
"""What tools/check.py finds in C: the shape of expressions. Needs no machine."""
import pytest

import harness  # noqa: F401  (finds tools/)
import shape

pytestmark = pytest.mark.qemu


def found(text, **how):
    return [line.split(': ', 1)[1] for line in shape.shape('x.c', text, shape.formats([text]), **how)]


def test_nested_conditions():
    nested = ['a ?: inside of another']
    for text in (
        'x = a ? b : c ? d : e;',
        'x = a ? (b ? c : d) : e;',
        'f(a ? g(b ? 1 : 2) : 3);',
        'x = (a ? b : c) ? d : e;',
    ):
        assert found(text) == nested
        assert not found(text, nesting=True)
    for text in ('f(a ? b : c, d ? e : f);', 'x = (a ? b : c) | (d ? e : f);', 'if (a ? b : c) x = d ? e : f;',
                 's = (struct s){.a = b ? c : d, .e = f ? g : h};', "x = a ? '?' : b; /* c ? d : e ? f : g */",
                 'switch (a ? b : c) { case D: return e ? f : g; }', '#define F(a) (a ? b : c)\nint x = d ? e : f;'):
        assert not found(text)


def test_many_arguments():
    assert found('f(1, 2, g(3, 4), 5, 6, 7, (struct s){8, 9});') == ['f has 7 arguments; at most 6']
    assert found('void f(int a, int b, int c, int d, int e, int g, int h);') == ['f has 7 arguments; at most 6']
    say = 'void say(const char *text, ...) print_like(1, 2);\n'
    for text in (
        'f(1, 2, 3, 4, 5, 6);',
        'int a[] = {1, 2, 3, 4, 5, 6, 7};',
        'printf("%d", 1, 2, 3, 4, 5, 6, 7);',
        say + 'say("%d", 1, 2, 3, 4, 5, 6, 7);',
        'RUN(1, 2, 3, 4, 5, 6, 7);',
        '__asm__ volatile("" : : "a"(1), "b"(2));',
    ):
        assert not found(text)
