// SPDX-License-Identifier: Apache-2.0
/*
 * See command.h.
 */
#include "services/console/command.h"
#include "lib/print.h"
#include "lib/proto/records.h"
#include "lib/string.h"

enum {
    WANTS_NOTHING,
    WANTS_GUEST,
    WANTS_GUEST_NOW,
    WANTS_GUEST_FAULT,
    WANTS_LOG,
    WANTS_CODE,
    WANTS_AUDIT,
    WANTS_TIMES,
    WANTS_COMMAND,
    WANTS_GUEST_KEY,
    WANTS_POWER
};

static const struct {
    const char *name;
    enum command_kind kind;
    int wants;
    const char *usage;
} commands[] = {
    {"help", SHELL_HELP, WANTS_COMMAND, "help [COMMAND]       this list, or more about one command"},
    {"list", SHELL_LIST, WANTS_NOTHING, "list                 all guests: state, CPUs, memory, CPU time, exits"},
    {"attach", SHELL_ATTACH, WANTS_GUEST,
     "attach NAME          this terminal becomes that guest's; Ctrl-] comes back here"},
    {"start", SHELL_START, WANTS_GUEST, "start NAME           starts a guest that is off"},
    {"stop", SHELL_STOP, WANTS_GUEST_NOW,
     "stop NAME [SECONDS]  presses its power button, and stops it 120 s later; now: at once"},
    {"restart", SHELL_RESTART, WANTS_GUEST, "restart NAME         stops it at once and starts it again"},
    {"log", SHELL_LOG, WANTS_LOG, "log [NAME] [LINES]   the last lines that a guest, or Mullion itself, has written"},
    {"crash", SHELL_CRASH, WANTS_GUEST, "crash NAME           registers, code and stack of its last crash"},
    {"mute", SHELL_MUTE, WANTS_GUEST, "mute NAME            its lines are kept for 'log', and not shown"},
    {"unmute", SHELL_UNMUTE, WANTS_GUEST, "unmute NAME          they are shown again"},
    {"nmi", SHELL_NMI, WANTS_GUEST, "nmi NAME             presses its NMI button"},
    {"break", SHELL_BREAK, WANTS_GUEST_KEY,
     "break NAME [KEY]     a break on its serial line, and KEY behind it: SysRq in Linux"},
    {"memory", SHELL_MEMORY, WANTS_NOTHING, "memory               the owner of each range of memory"},
    {"stats", SHELL_STATS, WANTS_GUEST,
     "stats NAME           a guest's exits by reason, its start and its kernel memory"},
    {"top", SHELL_TOP, WANTS_TIMES,
     "top [TIMES]          where each CPU's time goes, every second, until a key is pressed"},
    {"accounts", SHELL_ACCOUNTS, WANTS_NOTHING,
     "accounts             the account of every tick so far, for programs to read"},
    {"ledger", SHELL_ACCOUNTS, WANTS_NOTHING, "ledger               the same, by its former name"},
    {"paths", SHELL_PATHS, WANTS_NOTHING, "paths                the kernel's ten longest stays with interrupts off"},
    {"errors", SHELL_ERRORS, WANTS_NOTHING, "errors               hardware errors by CPU, and NMIs; 'log' has more"},
    {"devices", SHELL_DEVICES, WANTS_NOTHING,
     "devices              the machine's PCI functions: drivers and interrupts"},
    {"audit", SHELL_AUDIT, WANTS_AUDIT,
     "audit                proves that no guest reaches what is not its own: walks all tables"},
    {"fault", SHELL_FAULT, WANTS_GUEST_FAULT,
     "fault NAME [WORD]    a test. Its monitor crashes; or fuzz, reload, spin: see 'help fault'"},
    {"reboot", SHELL_REBOOT, WANTS_POWER,
     "reboot [now]         starts the whole machine anew, as poweroff switches it off"},
    {"poweroff", SHELL_POWEROFF, WANTS_POWER,
     "poweroff [now]       asks, lets the guests go off, then switches the machine off; cancel"},
    {"exit", SHELL_EXIT, WANTS_CODE,
     "exit [CODE]          ends the emulator, if this is one and 'debug-exit' was given"},
};

const char *command_help(unsigned i)
{
    return i < ARRAY_SIZE(commands) ? commands[i].usage : NULL;
}

static const struct {
    enum command_kind kind;
    const char *more;
} more[] = {
    {SHELL_LIST,
     "STATE: starting, running, stopping, restarting, clearing, off, crashed, failed. UPTIME: since its start. %CPU: "
     "of one CPU, since then. Example: list"},
    {SHELL_ATTACH, "Example: attach web. Ctrl-] twice sends one Ctrl-] to the guest."},
    {SHELL_STOP,
     "Examples: stop web, stop web 300, stop web now. A guest without a program for its power button does not "
     "heed it."},
    {SHELL_RESTART, "Its power button is not pressed. Example: restart web"},
    {SHELL_LOG, "Examples: log, log 100, log web, log web 100. In front stand the seconds since Mullion's start."},
    {SHELL_CRASH, "It stays until the next crash. Example: crash web"},
    {SHELL_BREAK, "Linux takes it as SysRq. Example: break web h (lists its keys)"},
    {SHELL_NMI, "What it does with that is the guest's affair. Example: nmi web"},
    {SHELL_MUTE, "'attach' and 'log' still show them. Example: mute web"},
    {SHELL_TOP, "Example: top 3 (three tables)"},
    {SHELL_FAULT,
     "Only in an image with test code. fuzz: it turns hostile; reload: it saves and loads its guest; spin: it computes for "
     "ever. Example: fault web fuzz"},
    {SHELL_POWEROFF, "'now' neither asks nor waits. 'cancel' calls off a poweroff or reboot that waits for guests."},
    {SHELL_REBOOT, "'now' neither asks nor waits. 'cancel' calls off a poweroff or reboot that waits for guests."},
};

const char *command_more(unsigned i)
{
    for (unsigned k = 0; i < ARRAY_SIZE(commands) && k < ARRAY_SIZE(more); k++)
        if (more[k].kind == commands[i].kind)
            return more[k].more;
    return NULL;
}

/* Copies the next word, cut to fit, and returns what is behind it. */
static const char *next_word(const char *s, char *word, size_t size)
{
    size_t n = 0;
    while (*s == ' ' || *s == '\t')
        s++;
    for (; *s != 0 && *s != ' ' && *s != '\t'; s++)
        if (n + 1 < size)
            word[n++] = *s;
    word[n] = 0;
    return s;
}

static bool number(const char *word, unsigned most, unsigned *out)
{
    unsigned n = 0;
    for (const char *s = word; *s; s++) {
        if (*s < '0' || *s > '9' || n > most)
            return false;
        n = n * 10 + (unsigned)(*s - '0');
    }
    *out = n;
    return word[0] != 0 && n <= most;
}

static bool find_guest(const char *word, const char (*guests)[32], unsigned count, unsigned *out, char *why,
                       size_t why_size)
{
    unsigned named = 0;
    for (unsigned i = 0; i < count; i++)
        if (word[0] != 0 && strcmp(word, guests[i]) == 0) {
            *out = i;
            return true;
        }
    size_t n = (size_t)format(why, why_size, "No guest is called '%s'; ", word);
    if (n < why_size)
        n += (size_t)format(why + n, why_size - n, count == 0 ? "there is none" : "there are: ");
    for (unsigned i = 0; i < count && n < why_size; i++)
        if (guests[i][0] != 0)
            n += (size_t)format(why + n, why_size - n, "%s%s", named++ ? ", " : "", guests[i]);
    return false;
}

static unsigned find_command(const char *word)
{
    unsigned i = 0;
    while (i < ARRAY_SIZE(commands) && strcmp(word, commands[i].name) != 0)
        i++;
    return i;
}

/* How many letters must be put in, left out, changed, or swapped with their neighbour. Long words are far away. */
static unsigned distance(const char *a, const char *b)
{
    enum { MOST = 16 };
    unsigned row[3][MOST + 1] = {{0}};
    size_t n = strlen(a), m = strlen(b);
    if (n > MOST || m > MOST)
        return MOST;
    for (unsigned j = 0; j <= m; j++)
        row[0][j] = j;
    for (unsigned i = 1; i <= n; i++) {
        unsigned *now = row[i % 3], *before = row[(i - 1) % 3], *two = row[(i + 1) % 3];
        now[0] = i;
        for (unsigned j = 1; j <= m; j++) {
            unsigned change = before[j - 1] + (a[i - 1] != b[j - 1]);
            now[j] = (unsigned)min_u64(change, min_u64(before[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = (unsigned)min_u64(now[j], two[j - 2] + 1);
        }
    }
    return row[n % 3][m];
}

/* The command that was most likely meant; NULL: none is near. */
static const char *near_command(const char *word)
{
    const char *best = NULL;
    unsigned least = strlen(word) <= 3 ? 2 : 3;
    for (unsigned i = 0; i < ARRAY_SIZE(commands); i++) {
        unsigned d = distance(word, commands[i].name);
        if (d < least) {
            least = d;
            best = commands[i].name;
        }
    }
    return best;
}

static void unknown_command(const char *word, char *why, size_t why_size)
{
    const char *meant = near_command(word);
    if (meant != NULL)
        format(why, why_size, "Unknown command '%s'; did you mean '%s'? 'help' lists what there is.", word, meant);
    else
        format(why, why_size, "Unknown command '%s'; 'help' lists what there is.", word);
}

static bool takes_guest(unsigned i)
{
    return commands[i].wants == WANTS_GUEST || commands[i].wants == WANTS_GUEST_NOW ||
           commands[i].wants == WANTS_GUEST_KEY || commands[i].wants == WANTS_GUEST_FAULT ||
           commands[i].wants == WANTS_LOG;
}

const char *command_word(const char *line, unsigned i, const char (*guests)[32], unsigned guest_count)
{
    char verb[40], word[40];
    const char *rest = next_word(line, verb, sizeof verb);
    bool first = *rest == 0; /* the command itself is being typed */
    rest = next_word(rest, word, sizeof word);
    unsigned n = find_command(verb);
    if (first || (n < ARRAY_SIZE(commands) && commands[n].wants == WANTS_COMMAND && *rest == 0))
        return i < ARRAY_SIZE(commands) ? commands[i].name : NULL;
    if (n < ARRAY_SIZE(commands) && takes_guest(n) && *rest == 0)
        for (unsigned k = 0; k < guest_count; k++)
            if (guests[k][0] != 0 && i-- == 0)
                return guests[k];
    return NULL;
}

static bool stop_seconds(const char *word, unsigned *out)
{
    *out = strcmp(word, "now") == 0 ? 0 : STOP_SECONDS;
    return word[0] == 0 || *out == 0 || number(word, STOP_SECONDS_MAX, out);
}

bool command_parse(const char *line, const char (*guests)[32], unsigned guest_count, struct command *out, char *why,
                   size_t why_size)
{
    char verb[40], word[2][40], rest[40];
    line = next_word(line, verb, sizeof verb);
    line = next_word(line, word[0], sizeof word[0]);
    line = next_word(line, word[1], sizeof word[1]);
    next_word(line, rest, sizeof rest);
    *out = (struct command){SHELL_NOTHING, COMMAND_NO_GUEST, 0};
    if (verb[0] == 0)
        return true;
    unsigned i = find_command(verb);
    if (i == ARRAY_SIZE(commands)) {
        unknown_command(verb, why, why_size);
        return false;
    }
    out->kind = commands[i].kind;
    bool good = rest[0] == 0;
    switch (commands[i].wants) {
    case WANTS_NOTHING: good = good && word[0][0] == 0; break;
    case WANTS_CODE: good = good && word[1][0] == 0 && (word[0][0] == 0 || number(word[0], 255, &out->value)); break;
    case WANTS_TIMES:
        good = good && word[1][0] == 0 && (word[0][0] == 0 || (number(word[0], 1000, &out->value) && out->value != 0));
        break;
    case WANTS_COMMAND:
        out->value = word[0][0] != 0 ? find_command(word[0]) : COMMAND_ALL;
        if (out->value == ARRAY_SIZE(commands)) {
            unknown_command(word[0], why, why_size);
            return false;
        }
        good = good && word[1][0] == 0;
        break;
    case WANTS_POWER:
        good = good && word[1][0] == 0;
        out->value = strcmp(word[0], "now") == 0;
        if (strcmp(word[0], "cancel") == 0)
            out->kind = SHELL_STAY;
        else
            good = good && (word[0][0] == 0 || out->value == 1);
        break;
    case WANTS_AUDIT: /* `break NAME` is for tests, and in docs/shell.md */
        if (strcmp(word[0], "break") == 0 && word[1][0] != 0) {
            if (!find_guest(word[1], guests, guest_count, &out->guest, why, why_size))
                return false;
            out->kind = SHELL_AUDIT_BREAK;
        } else {
            good = good && word[0][0] == 0;
        }
        break;
    case WANTS_LOG: {
        const char *lines = word[1];
        out->value = 20;
        if (word[0][0] != 0 && word[1][0] == 0 && number(word[0], 1000, &out->value))
            break;
        if (word[0][0] != 0 && strcmp(word[0], "mullion") != 0 &&
            !find_guest(word[0], guests, guest_count, &out->guest, why, why_size))
            return false;
        good = good && (lines[0] == 0 || number(lines, 1000, &out->value));
        break;
    }
    default:
        if (word[0][0] == 0) {
            good = false;
            break;
        }
        if (!find_guest(word[0], guests, guest_count, &out->guest, why, why_size))
            return false;
        if (commands[i].wants == WANTS_GUEST_NOW)
            good = good && stop_seconds(word[1], &out->value);
        else if (commands[i].wants == WANTS_GUEST_KEY && word[1][0] != 0 && word[1][1] == 0)
            out->value = (uint8_t)word[1][0];
        else if (commands[i].wants == WANTS_GUEST_FAULT && strcmp(word[1], "fuzz") == 0)
            out->value = FAULT_HOSTILE;
        else if (commands[i].wants == WANTS_GUEST_FAULT && strcmp(word[1], "reload") == 0)
            out->value = FAULT_RELOAD;
        else if (commands[i].wants == WANTS_GUEST_FAULT && strcmp(word[1], "spin") == 0)
            out->value = FAULT_SPIN;
        else
            good = good && word[1][0] == 0;
        break;
    }
    if (!good)
        format(why, why_size, "Not understood. Usage: %s", commands[i].usage);
    return good;
}
