# SPDX-License-Identifier: Apache-2.0
"""The isolation suite's figures as tables: for a terminal, and as docs/guarantees.md shows them."""

# What is not here is a machine of docs/machines.md, by its name.
TITLE = {'vmx': 'VT-x', 'svm': 'AMD-V'}


def cell(value):
    if value is None:
        return '-'
    if isinstance(value, float):
        return f'{value:,.3f}'
    return f'{value:,}' if isinstance(value, int) else str(value)


def all_tables(results):
    """[(title, heads, rows)]; the first column is text."""
    names = [b for b in TITLE if b in results] + [b for b in results if b not in TITLE]
    found = []
    keys = [k for k in results[names[0]] if k not in ('parts', 'longest_ring0_paths')] if names else []
    figures = [[k] + [results[b].get(k) for b in names] for k in keys]
    found.append(('Summary', ['figure'] + [TITLE.get(b, b) for b in names], figures))

    def rows_of(key):
        parts = [(b, part, p) for b in names for part, p in results[b]['parts'].items()]
        return [(TITLE.get(b, b), part, row) for b, part, p in parts for row in p.get(key, ())]

    found.append(('Shares', ['', 'guest', 'share', 'period', 'got', 'error'],
                  [[b, r['guest'], f'{r["percent"]}%', f'{r["period_ms"]} ms', f'{r["got"]:.3f}%',
                    f'{r["error_pct"]:.3f}%'] for b, _, r in rows_of('shares')]))
    heads = ['', 'guest', 'share', 'slice, ticks', 'at worst over its share, slices', 'in any window', 'runs looked at']
    found.append(('Caps', heads,
                  [[b, r['guest'], f'{r["percent"]}%', r['slice'], r['worst_slices'], r['any_window_slices'],
                    r['windows_of_runs']] for b, _, r in rows_of('caps')]))
    found.append(('Wake-up', ['', 'CPU', 'beside', 'wakes', 'least', 'median', '99%', 'worst'],
                  [[b, r['where'], r['beside'], r['wakes'], r['least'], r['median'], r['p99'], r['worst']]
                   for b, _, r in rows_of('wakes')]))
    rows = []
    for b in names:
        for p in results[b]['parts'].values():
            if 'interference' in p:
                i = p['interference']
                rows.append([TITLE.get(b, b), i['alone']['rounds'], round(i['alone']['mean']),
                             round(i['beside']['mean']), i['alone']['most'], i['beside']['most'], f'{i["pct"]:.3f}%'])
    heads = ['', 'rounds', 'alone, mean ticks', 'beside adversaries', 'alone, most', 'beside, most', 'difference']
    found.append(('Interference', heads, rows))
    rows, uses = [], ('idle', 'kernel', 'services', 'devices', 'guests', 'gone')
    for b in names:
        for cpu, k in results[b]['parts'].get('shared', {}).get('accounts', {}).items():
            rows.append([TITLE.get(b, b), cpu, k['tsc']] + [k.get(x, 0) for x in uses])
    found.append(('Accounts', ['', 'CPU', 'clock', *uses], rows))
    longest = [results[b].get('longest_ring0_paths', []) for b in names]
    found.append(('Longest stretches of ring 0', ['rank'] + [x for b in names for x in (TITLE.get(b, b), 'ticks')],
                  [[str(n + 1)] + [x for paths in longest for x in (paths[n] if n < len(paths) else ('', ''))]
                   for n in range(max(map(len, longest), default=0))]))
    found.append(('Few guests and many', ['', 'guests', 'kernel bytes per guest', 'switch', 'exit (CPUID)'],
                  [[b, r['guests'], r.get('kernel_bytes'), r.get('switch'), r.get('exit')]
                   for b, _, r in rows_of('rows')]))
    return [t for t in found if t[2]]


def text(results):
    out = []
    for title, heads, rows in all_tables(results):
        lines = [heads] + [[cell(v) for v in row] for row in rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
        out.append('\n' + title)
        for line in lines:
            cells = [v.ljust(w) if i == 0 else v.rjust(w) for i, (v, w) in enumerate(zip(line, widths))]
            out.append('  '.join(cells))
    return '\n'.join(out)


def markdown(results):
    out = []
    for title, heads, rows in all_tables(results):
        out += [f'**{title}**', '', '| ' + ' | '.join(heads) + ' |', '|---' + '|---:' * (len(heads) - 1) + '|']
        out += ['| ' + ' | '.join(cell(v) for v in row) + ' |' for row in rows] + ['']
    return '\n'.join(out)
