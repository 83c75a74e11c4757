#!/usr/bin/python3
"""Counts the trusted computing base: non-blank, non-comment lines of the ring-0 sources and of every header that they include.

    tools/tcb.py LIMIT SOURCE...

Prints lines by folder and fails above LIMIT. Comments are taken out by a small scanner that knows strings; nothing is
preprocessed, so code under #if counts whatever its condition."""
import os
import re
import sys


def strip_c(text):
    """Text without comments; strings and character constants are kept."""
    pattern = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|//[^\n]*|/\*.*?\*/', re.S)
    return pattern.sub(lambda m: m.group(0) if m.group(0)[0] in "\"'" else re.sub(r'[^\n]', ' ', m.group(0)), text)


def strip_asm(text):
    pattern = re.compile(r'"[^"\n]*"|\'[^\'\n]*\'|`[^`\n]*`|;[^\n]*')
    return pattern.sub(lambda m: '' if m.group(0)[0] == ';' else m.group(0), text)


def code_of(path):
    with open(path, encoding='utf-8') as f:
        text = f.read()
    return strip_asm(text) if path.endswith(('.asm', '.inc')) else strip_c(text)


def included(path, code):
    for name in re.findall(r'^\s*[#%]\s*include\s+"([^"]+)"', code, re.M):
        for folder in ('.', 'include', os.path.dirname(path)):
            candidate = os.path.normpath(os.path.join(folder, name))
            if os.path.exists(candidate):
                yield candidate
                break
        else:
            if not name.startswith('gen/'):
                print(f'tcb: {path} includes "{name}", which is not to be found', file=sys.stderr)


def main():
    limit, todo, lines = int(sys.argv[1]), list(sys.argv[2:]), {}
    missing = [p for p in todo if not os.path.exists(p)]
    for p in missing:
        print(f'tcb: {p}: not there yet', file=sys.stderr)
    todo = [p for p in todo if p not in missing]
    while todo:
        path = todo.pop()
        if path in lines:
            continue
        code = code_of(path)
        lines[path] = sum(1 for line in code.split('\n') if line.strip())
        todo += included(path, code)
    folders = {}
    for path, n in lines.items():
        folder = os.path.dirname(path) or '.'
        folders.setdefault(folder, [0, 0])
        folders[folder][0] += n
        folders[folder][1] += 1
    for folder in sorted(folders):
        print(f'{folders[folder][0]:6} lines in {folders[folder][1]:3} files  {folder}')
    total = sum(lines.values())
    print(f'{total:6} lines in {len(lines):3} files  in ring 0; at most {limit} are allowed')
    outside = sorted(p for p in lines if p.split('/')[0] in ('vmm', 'services', 'lib', 'tools', 'tests'))
    if outside:
        print('tcb: ring 0 includes what is not its own: ' + ', '.join(outside), file=sys.stderr)
    return 1 if total > limit or outside or missing else 0


if __name__ == '__main__':
    sys.exit(main())
