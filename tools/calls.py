#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Makes what the build needs of include/mullion/calls.toml, the one list of system calls. That file says what each is.

    tools/calls.py FOLDER"""
import os
import re
import sys
import tomllib

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LIST = os.path.join(HERE, 'include', 'mullion', 'calls.toml')
REGISTERS = ('rdi', 'rsi', 'rdx', 'r10', 'r8', 'r9')
TYPES = ('domain', 'thread', 'space', 'vcpu', 'memory', 'event', 'irq', 'ports', 'log', 'hardware')
KINDS = ('number', 'address', 'size', 'offset', 'rights', 'deadline', 'place', 'row', 'doorbell', 'hardware')
CALL_KEYS = {'name', 'arguments', 'does', 'value', 'errors', 'makes', 'reshapes', 'in_section', 'steps', 'special'}
ARGUMENT_KEYS = {'name', 'object', 'handle', 'rights', 'needs', 'optional', 'kind', 'below', 'type'}
NOTE = '/* Made by tools/calls.py from include/mullion/calls.toml. */\n'


def wrong(call, what):
    sys.exit(f'calls.toml: {call.get("name", "a call without a name")}: {what}')


def check(call):
    if set(call) - CALL_KEYS or not {'name', 'does', 'errors'} <= set(call):
        wrong(call, f'keys are {sorted(CALL_KEYS)}; name, does and errors must be there')
    if len(call['arguments']) > len(REGISTERS):
        wrong(call, 'more than six arguments')
    if call.get('makes', 'domain') not in TYPES:
        wrong(call, f'it makes no {call["makes"]}')
    for a in call['arguments']:
        if set(a) - ARGUMENT_KEYS or sum(k in a for k in ('object', 'handle', 'kind', 'below')) != 1:
            wrong(call, f'argument {a.get("name")}: exactly one of object, handle, kind, below')
        if a.get('kind', 'number') not in KINDS:
            wrong(call, f'argument {a["name"]}: there is no kind {a["kind"]}')
        for t in types_of(a):
            if t not in TYPES:
                wrong(call, f'argument {a["name"]}: there is no type {t}')


def load():
    """The calls, checked, each with all of its optional keys."""
    with open(LIST, 'rb') as f:
        calls = tomllib.load(f)['call']
    for call in calls:
        call.setdefault('arguments', [])
        check(call)
        if 'makes' in call:
            call.setdefault('value', 'handle, all rights')
        for key in ('does', 'errors', 'value'):
            call[key] = ' '.join(call.get(key, 'none').split())
    return calls


def number_of(call):
    return 'SYS_' + call['name'].upper()


def types_of(argument):
    """The object types that a handle argument may name; none for a number."""
    names = argument.get('object', argument.get('handle'))
    if names is None:
        return ()
    return TYPES if names == 'any' else tuple(names.split(' or '))


def type_mask(argument):
    names = argument.get('object', argument.get('handle'))
    return 'OBJECTS_ANY' if names == 'any' else ' | '.join(f'1u << OBJ_{t.upper()}' for t in types_of(argument))


def numbers(calls):
    rows = ''.join(f'    {number_of(c)},\n' for c in calls)
    guard = '#ifndef MULLION_CALLS_H\n#define MULLION_CALLS_H\n'
    return f'{NOTE}{guard}\nenum syscall {{\n{rows}    SYS_COUNT\n}};\n\n#endif\n'


def assembly(calls):
    special = ''.join(f'{number_of(c)} equ {i}\n' for i, c in enumerate(calls) if c.get('special'))
    return '; Made by tools/calls.py: the calls that have a way of their own.\n' + special


def rule(call):
    objects = []
    for i, a in enumerate(call['arguments']):
        if 'object' in a:
            rights = 'RIGHT_' + a['rights'] if 'rights' in a else '0'
            objects.append(f'[{i}] = {{{type_mask(a)}, {rights}, {str(a.get("optional", False)).lower()}}}')
    last = max((i + 1 for i, a in enumerate(call['arguments']) if 'object' in a), default=0)
    parts = [f'.{key} = true' for key in ('reshapes', 'in_section') if call.get(key)]
    parts += [f'.looked_up = {last}', f'.object = {{{", ".join(objects)}}}'] if objects else []
    return f'    [{number_of(call)}] = {{{", ".join(parts)}}},\n' if parts else ''


def handed_over(index, argument):
    """What the handler gets for an argument."""
    if 'object' not in argument:
        return f'a[{index}]'
    kinds = types_of(argument)
    if len(kinds) > 1 or kinds[0] in ('log', 'hardware'):
        return f'o[{index}]'
    found = f'container_of(o[{index}], struct {kinds[0]}, object)'
    return f'o[{index}] ? {found} : NULL' if argument.get('optional') else found


def kernel(calls):
    """Included by kernel/syscall.c behind its handlers."""
    handled = [c for c in calls if not c.get('special')]
    rules = ''.join(map(rule, calls))
    cases = ''
    for c in handled:
        arguments = ', '.join(handed_over(i, a) for i, a in enumerate(c['arguments']))
        cases += f'    case {number_of(c)}: return sys_{c["name"]}({arguments});\n'
    return (
        f'{NOTE}static const struct call_rule call_rules[SYS_COUNT] = {{\n{rules}}};\n\n'
        'static struct result call_handler(uint64_t number, const uint64_t a[6], struct object *const o[6])\n'
        f'{{\n    switch (number) {{\n{cases}    default: return result_of(E_NOSYS);\n    }}\n}}\n'
    )


def stub(call):
    arguments = call['arguments']
    declared = ', '.join(f'{a.get("type", "uint64_t")} {a["name"]}' for a in arguments) or 'void'
    passed = ', '.join([number_of(call)] + [a['name'] for a in arguments] + ['0'] * (6 - len(arguments)))
    valued = call['value'] != 'none'
    head = f'static inline {"struct syscall_result" if valued else "enum error"} sys_{call["name"]}({declared})'
    if not call.get('steps'):
        return f'{head}\n{{\n    return syscall6({passed}){"" if valued else ".error"};\n}}\n'
    return (
        f'{head}\n{{\n    enum error error;\n    do\n        error = syscall6({passed}).error;\n'
        '    while (error == E_AGAIN);\n    return error;\n}\n'
    )


def stubs(calls):
    return NOTE + '\n'.join(stub(c) for c in calls if not c.get('special'))


HANDLE_ERRORS = ('E_HANDLE', 'E_TYPE', 'E_DEAD', 'E_RIGHTS')


def errors_of(call):
    """The errors that the call's manual names."""
    named = set(re.findall(r'\bE_[A-Z]+', call['errors']))
    return sorted(named | set(HANDLE_ERRORS if 'handle errors' in call['errors'] else ()))


def shape(call):
    kinds = []
    for a in call['arguments']:
        if types_of(a):
            kinds.append(f'{{ARGUMENT_HANDLE, {type_mask(a)}}}')
        elif 'below' in a:
            kinds.append(f'{{ARGUMENT_BELOW, {a["below"]}}}')
        else:
            kinds.append(f'{{ARGUMENT_{a["kind"].upper()}, 0}}')
    parts = [f'.name = "{call["name"]}"', f'.count = {len(kinds)}']
    parts += ['.reshapes = true'] if call.get('reshapes') else []
    parts += [f'.errors = {" | ".join("1u << " + e for e in errors_of(call))}'] if errors_of(call) else []
    parts += [f'.makes = OBJ_{call["makes"].upper()}'] if 'makes' in call else []
    parts += [f'.argument = {{{", ".join(kinds)}}}'] if kinds else []
    return f'    [{number_of(call)}] = {{{", ".join(parts)}}},\n'


def shapes(calls):
    return NOTE + ''.join(map(shape, calls))


def main():
    calls = load()
    for name, make in (
        ('mullion/calls.h', numbers),
        ('calls.inc', assembly),
        ('kernel_calls.h', kernel),
        ('call_stubs.h', stubs),
        ('call_shapes.h', shapes),
    ):
        path = os.path.join(sys.argv[1], name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w', encoding='utf-8') as f:
            f.write(make(calls))


if __name__ == '__main__':
    main()
