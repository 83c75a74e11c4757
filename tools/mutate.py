#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Small changes to a C source, each one of which a test should notice: what tools/mutants.py tries.

    tools/mutate.py FILE...    lists them

A source is read as tokens and statements, without a compiler: some changes will not compile, and some change nothing.
The user sorts those out."""
import collections
import re
import sys

# text[start:end] becomes `new`, in line `line` (from 1 on).
Change = collections.namedtuple('Change', 'line start end new kind')
Token = collections.namedtuple('Token', 'text start end line macro')

TOKEN = re.compile(
    r'''(?P<comment>/\*.*?\*/|//[^\n]*)|(?P<directive>^[ \t]*\#(?:\\\n|[^\n])*)|(?P<string>L?"(?:\\.|[^"\\])*")'''
    r'''|(?P<char>'(?:\\.|[^'\\])+')|(?P<number>\d(?:[eEpP][+-]|[\w.])*)|(?P<name>[A-Za-z_]\w*)'''
    r'''|(?P<sign><<=|>>=|\.\.\.|->|\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|[^\s\w])|(?P<blank>\s+)''',
    re.S | re.M,
)
DEFINE = re.compile(r'[ \t]*#[ \t]*define[ \t]+\w+(?:\([^)]*\))?')
SWAPPED = {
    '<': ['<='],
    '<=': ['<'],
    '>': ['>='],
    '>=': ['>'],
    '==': ['!='],
    '!=': ['=='],
    '&&': ['||'],
    '||': ['&&'],
    '<<': ['>>'],
    '>>': ['<<'],
    '|=': ['=', '&='],
    '&=': ['=', '|='],
    '^=': ['='],
    '+=': ['=', '-='],
    '-=': ['=', '+='],
    '++': ['--'],
    '--': ['++'],
    'true': ['false'],
    'false': ['true'],
}
SWAPPED_BETWEEN = {'+': ['-'], '-': ['+'], '&': ['|'], '|': ['&'], '^': ['|'], '%': ['/'], '/': ['*']}
LOGICAL = ('&&', '||')
ASSIGNMENTS = ('=', '|=', '&=', '^=', '+=', '-=', '*=', '/=', '%=', '<<=', '>>=', '++', '--')
TYPES = {'const', 'static', 'struct', 'union', 'enum', 'typedef', 'extern', 'unsigned', 'signed', 'register'}
TYPES |= {'volatile', 'char', 'bool', 'int', 'long', 'short', 'void', '_Thread_local'}
TYPES |= {'_Static_assert', 'static_assert'}
NOT_CHANGED = {'assert', '_Static_assert', 'static_assert', '__asm__', 'asm', '__attribute__', 'sizeof', '_Alignas'}
CONSTANT = re.compile(r'[A-Z][A-Z0-9]*_[A-Z0-9_]*$')
INTEGER = re.compile(r"(0[xX][0-9a-fA-F]+|\d+)([uUlL]*)$")
PAIRS = {'(': ')', '[': ']', '{': '}'}


def tokens_of(text):
    found = []

    def add(part, offset, line, macro):
        for m in TOKEN.finditer(part):
            here = line + part.count('\n', 0, m.start())
            kind = m.lastgroup
            if kind == 'directive' and not macro:
                define = DEFINE.match(m.group())
                if define:
                    body = m.group()[define.end():]
                    add(' ' + body, offset + m.start() + define.end() - 1, here, True)
            elif kind not in ('comment', 'string', 'blank', 'directive') and m.group() != '\\':
                found.append(Token(m.group(), offset + m.start(), offset + m.end(), here, macro))

    add(text, 0, 1, False)
    return found


def closing(tokens, at):
    """The index of the token that closes what tokens[at] opens."""
    depth = 0
    for i in range(at, len(tokens)):
        if tokens[i].text in PAIRS:
            depth += 1
        elif tokens[i].text in PAIRS.values():
            depth -= 1
            if depth == 0:
                return i
    return len(tokens) - 1


def statements(tokens):
    """(first, last): the simple statements in bodies of functions, as indices of tokens; `last` is the semicolon."""
    found = []

    def to_semicolon(at):
        while at < len(tokens) and tokens[at].text != ';':
            at = (closing(tokens, at) if tokens[at].text in PAIRS else at) + 1
        return at

    def statement(at):
        text = tokens[at].text
        if text == '{':
            return block(at)
        if text in ('if', 'while', 'for', 'switch'):
            return statement(closing(tokens, at + 1) + 1)
        if text in ('else', 'do'):
            return statement(at + 1)
        if text in ('case', 'default'):
            while tokens[at].text != ':':
                at = (closing(tokens, at) if tokens[at].text in PAIRS else at) + 1
            return at + 1
        end = to_semicolon(at)
        found.append((at, end))
        return end + 1

    def block(at):
        end = closing(tokens, at)
        at += 1
        while at < end:
            at = statement(at)
        return end + 1

    at = 0
    while at < len(tokens):
        if tokens[at].text == '{':
            body = at > 0 and tokens[at - 1].text == ')'
            at = block(at) if body else closing(tokens, at) + 1
        elif tokens[at].text == '=':
            at = to_semicolon(at) + 1
        else:
            at += 1
    return [(a, b) for a, b in found if b < len(tokens)]


def is_declaration(part):
    words = [t.text for t in part]
    if words[0] in TYPES or words[0].endswith('_t'):
        return True
    return len(words) > 1 and words[0][0].isalpha() and words[1][0].isalpha() and words[0] not in ('return', 'goto')


def can_be_dropped(part):
    words = [t.text for t in part]
    if words in (['break'], ['continue'], ['return']):
        return True
    if not words or words[0] in ('return', 'goto', *NOT_CHANGED) or is_declaration(part):
        return False
    return words[:2] != ['(', 'void'] and ('(' in words or any(w in ASSIGNMENTS for w in words))


def other_numbers(text):
    m = INTEGER.match(text)
    if not m:
        return []
    value, form = int(m.group(1), 0), '%#x' if m.group(1)[:2] in ('0x', '0X') else '%d'
    others = [value + 1] + ([value - 1] if value else [])
    if form == '%#x' and value.bit_count() > 1:
        others += [value & (value - 1), value & ~(1 << (value.bit_length() - 1))]
    return [form % v + m.group(2) for v in dict.fromkeys(others)]


def changes(text):
    """All changes to a source, in the order of its text."""
    tokens, found = tokens_of(text), []
    code = [t for t in tokens if not t.macro]
    simple = statements(code)
    left_alone = set()
    for i, t in enumerate(tokens):
        if t.text in NOT_CHANGED and i + 1 < len(tokens) and tokens[i + 1].text == '(':
            left_alone.update(x.start for x in tokens[i : closing(tokens, i + 1) + 1])
    # How long an array is says little: a longer one does as well.
    opened = []
    for i, t in enumerate(code):
        if t.text in PAIRS:
            opened.append(i)
        elif t.text in PAIRS.values() and opened:
            at = opened.pop()
            if t.text == ']' and code[i + 1].text in (';', '=', ',', '[') and at > 0 and is_array(code, at):
                left_alone.update(x.start for x in code[at : i + 1])
    names = collections.defaultdict(list)
    for t in tokens:
        if CONSTANT.match(t.text) and t.text not in names[t.text.split('_')[0]]:
            names[t.text.split('_')[0]].append(t.text)

    def add(first, last, new, kind):
        found.append(Change(first.line, first.start, last.end, new, kind))

    for first, last in simple:
        if last > first and can_be_dropped(code[first:last]):
            body = text[code[first].start : code[last].end]
            add(code[first], code[last], ';' + '\n' * body.count('\n'), 'dropped')
    for i, t in enumerate(tokens):
        if t.start in left_alone:
            continue
        before = tokens[i - 1].text if i and tokens[i - 1].macro == t.macro else ''
        after = tokens[i + 1].text if i + 1 < len(tokens) else ''
        between = bool(before) and (before[0].isalnum() or before[0] in "_)]'") and before not in ('return', 'case')
        for new in SWAPPED.get(t.text, []) + (SWAPPED_BETWEEN.get(t.text, []) if between else []):
            add(t, t, new, 'logic' if t.text in LOGICAL else 'operator')
        if t.text in '!~' and before not in NOT_CHANGED:
            add(t, t, '', 'dropped')
        if t.text[0].isdigit():
            for new in other_numbers(t.text):
                add(t, t, new, 'constant')
        if len(t.text) == 3 and t.text[0] == "'" and t.text[1] not in "'\\&":
            add(t, t, f"'{chr(ord(t.text[1]) + 1)}'", 'constant')
        if t.text in ('if', 'while') and after == '(':
            end = tokens[closing(tokens, i + 1)]
            inside = text[tokens[i + 1].start : end.end]
            add(tokens[i + 1], end, f'(!{inside})', 'negated')
        if CONSTANT.match(t.text) and before not in ('enum', 'struct', '.', '->'):
            family = names[t.text.split('_')[0]]
            if len(family) > 1:
                add(t, t, family[(family.index(t.text) + 1) % len(family)], 'other')
        if t.text == '|' and between and i + 2 < len(tokens) and tokens[i + 2].text in (')', ';', ',', '|', '}'):
            if CONSTANT.match(after) or after[0].isdigit():
                add(t, tokens[i + 1], '', 'dropped')
    return found


def is_array(code, at):
    """Whether the bracket code[at] declares: a name before it, and a type before that."""
    while at > 1 and code[at - 1].text == ']':
        depth, at = 1, at - 1
        while depth and at > 0:
            at -= 1
            depth += {']': 1, '[': -1}.get(code[at].text, 0)
    if at < 2 or not code[at - 1].text[0].isalpha():
        return False
    if code[at - 2].text == ',' and code[at - 3].text == ']':  # char a[4], b[4];
        at -= 4
        while at > 0 and code[at].text != '[':
            at -= 1
        return is_array(code, at)
    word = code[at - 2].text
    if word == '*':
        word = code[at - 3].text
    return (word[0].isalpha() or word[0] == '_') and word not in ('return', 'case', 'else', 'do')


def main():
    for path in sys.argv[1:]:
        with open(path, encoding='utf-8') as f:
            text = f.read()
        for c in changes(text):
            print(f'{path}:{c.line}: {c.kind}: {text[c.start:c.end]!r} -> {c.new!r}')


if __name__ == '__main__':
    sys.exit(main())
