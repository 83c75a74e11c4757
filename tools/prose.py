# SPDX-License-Identifier: Apache-2.0
"""Checks of the text, for tools/check.py: `prose` measures the documents, `words` counts words that have no person
behind them."""
import collections
import glob
import io
import os
import re
import tokenize

MEAN_WORDS = 18  # of a document's sentences
PARAGRAPH_WORDS = 110
CELL_WORDS = 40
COLUMNS = 120
GENERATED = {'docs/abi.md'}
COUNTS = 'tools/words.txt'
HEADLESS = re.compile(r'\b(?:who|whoever|whom|nobody|somebody)\b', re.I)
SOURCES = ('.c', '.h', '.asm', '.inc', '.py')


def documents():
    return sorted({*glob.glob('docs/*.md'), 'README.md', 'CONTRIBUTING.md', 'SECURITY.md'} - GENERATED)


def read(path):
    with open(path, encoding='utf-8') as f:
        return f.read()


def plain(text):
    """Markdown without its marks: a piece of code is one word, a link is its text."""
    text = re.sub(r'<!--.*?-->', '', text)
    text = re.sub(r'`[^`]*`', 'CODE', text)
    text = re.sub(r'!?\[([^\]]*)\]\([^)]*\)', r'\1', text)
    return text.replace('**', '').replace('*', '')


def word_count(text):
    return sum(any(c.isalnum() for c in word) for word in text.split())


def sentences(text):
    parts = re.split(r'(?<=[.!?])[")\]]*\s+', text.strip())
    return [n for n in map(word_count, parts) if n]


def blocks(text):
    """(line number, kind, text) of each paragraph, item of a list ('prose') and cell of a table ('cell')."""
    fenced, start, lines = False, 0, []

    def end():
        nonlocal lines
        if lines:
            yield start, 'prose', plain(' '.join(lines))
        lines = []

    for number, line in enumerate(text.split('\n'), 1):
        bare = line.strip()
        if bare.startswith('```'):
            fenced = not fenced
        if fenced or not bare or bare.startswith(('```', '#', '<!--')):
            yield from end()
        elif bare.startswith('|'):
            yield from end()
            for cell in plain(bare).strip('|').split('|'):
                yield number, 'cell', cell
        else:
            if re.match(r'([-*]|\d+\.)\s', bare):
                yield from end()
                bare = re.sub(r'^([-*]|\d+\.)\s+', '', bare)
            if not lines:
                start = number
            lines.append(bare)
    yield from end()


def without_code(text):
    return re.sub(r'^[ \t]*```.*?^[ \t]*```', lambda m: '\n' * m.group().count('\n'), text, flags=re.M | re.S)


def anchors(text):
    """The names that a document's headings get on the usual hosts."""
    seen, found = collections.Counter(), set()
    for heading in re.findall(r'^#+\s+(.*)$', without_code(text), re.M):
        heading = re.sub(r'\[([^\]]*)\]\([^)]*\)', r'\1', heading).strip().lower()
        name = re.sub(r'[^\w\- ]', '', heading).replace(' ', '-')
        found.add(f'{name}-{seen[name]}' if seen[name] else name)
        seen[name] += 1
    return found


def links(path, text):
    bad = []
    for number, line in enumerate(without_code(text).split('\n'), 1):
        for target in re.findall(r'\]\(([^)\s]+)\)', re.sub(r'`[^`]*`', '', line)):
            if re.match(r'[a-z]+:', target):
                continue
            name, _, anchor = target.partition('#')
            other = os.path.normpath(os.path.join(os.path.dirname(path), name)) if name else path
            if not os.path.exists(other):
                bad.append(f'{path}:{number}: a link to {target}: there is no such file')
            elif anchor and anchor not in anchors(read(other)):
                bad.append(f'{path}:{number}: a link to {target}: there is no such heading')
    return bad


def prose():
    """The documents: short sentences, short paragraphs, short cells and lines, and links that lead somewhere."""
    bad = []
    for path in documents():
        text = read(path)
        lengths = []
        for number, kind, block in blocks(text):
            words = word_count(block)
            most = PARAGRAPH_WORDS if kind == 'prose' else CELL_WORDS
            if words > most:
                bad.append(
                    f'{path}:{number}: {words} words in one '
                    f'{"paragraph" if kind == "prose" else "cell"}; at most {most}'
                )
            if kind == 'prose':
                lengths += sentences(block)
        mean = sum(lengths) / max(len(lengths), 1)
        if mean > MEAN_WORDS:
            bad.append(f'{path}: {mean:.1f} words a sentence; at most {MEAN_WORDS}')
        for number, line in enumerate(without_code(text).split('\n'), 1):
            if len(line) > COLUMNS and not line.lstrip().startswith('|') and '://' not in line:
                bad.append(f'{path}:{number}: {len(line)} columns; at most {COLUMNS}')
        bad += links(path, text)
    return bad


def spoken_python(text):
    """The comments, and the strings that stand as statements."""
    found, before = [], tokenize.NEWLINE
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        starts = before in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
        if token.type == tokenize.COMMENT or (token.type == tokenize.STRING and starts):
            found.append(re.sub(r'`[^`]*`', '', token.string))
        if token.type not in (tokenize.COMMENT, tokenize.NL):
            before = token.type
    return '\n'.join(found)


def spoken(path, text):
    """The comments and strings of a source file, of Python's strings the docstrings; the text of a document without its
    code."""
    if path.endswith('.md'):
        return re.sub(r'`[^`]*`', '', without_code(text))
    if path.endswith('.py'):
        return spoken_python(text)
    comment = r';[^\n]*' if path.endswith(('.asm', '.inc')) else r'/\*.*?\*/|//[^\n]*'
    found = re.findall(comment + r'|"(?:\\.|[^"\\\n])*"' + r"|'(?:\\.|[^'\\\n])*'", text, re.S)
    return '\n'.join(re.sub(r'`[^`\n]*`', '', piece) for piece in found)


def count_words(paths):
    """Per top-level folder (`.` for the top itself), and where they are."""
    counts, where = collections.Counter(), collections.defaultdict(list)
    for path in paths:
        if path in GENERATED:
            continue
        folder = path.split('/')[0] if '/' in path else '.'
        n = len(HEADLESS.findall(spoken(path, read(path))))
        counts[folder] += n
        if n:
            where[folder].append(f'{path} ({n})')
    return counts, where


def words(tracked):
    """`who`, `whoever`, `whom`, `nobody` and `somebody` in comments, messages and documents: no more than
    tools/words.txt allows. Name the thing that acts instead."""
    allowed = {}
    for line in read(COUNTS).split('\n'):
        if line.strip() and not line.startswith('#'):
            folder, number = line.split()
            allowed[folder] = int(number)
    counts, where = count_words(tracked(*('*' + end for end in SOURCES), '*.md'))
    bad = []
    for folder, n in sorted(counts.items()):
        most = allowed.get(folder, 0)
        if n > most:
            bad.append(
                f'{folder}: {n} times who, whoever, whom, nobody or somebody; at most {most}: '
                + ', '.join(where[folder])
            )
        elif n < most:
            print(f'note: {folder} has only {n} such words left; write that number into {COUNTS} instead of {most}')
    return bad
