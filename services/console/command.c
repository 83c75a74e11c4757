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
    WANTS_GUEST_KEY,
    WANTS_POWER
};

static const struct {
    const char *name;
    enum command_kind kind;
    int wants;
    const char *usage;
} commands[] = {
    {"help", SHELL_HELP, WANTS_NOTHING, "help                 this list"},
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
    {"devices", SHELL_DEVICES, WANTS_NOTHING,
     "devices              the machine's PCI functions: drivers and interrupts"},
    {"audit", SHELL_AUDIT, WANTS_AUDIT,
     "audit                proves that no guest reaches what is not its own: walks all tables"},
    {"fault", SHELL_FAULT, WANTS_GUEST_FAULT,
     "fault NAME [WORD]    a test. Its monitor crashes; fuzz: turns hostile; reload: reloads it"},
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
    unsigned i = 0;
    while (i < ARRAY_SIZE(commands) && strcmp(verb, commands[i].name) != 0)
        i++;
    if (i == ARRAY_SIZE(commands)) {
        format(why, why_size, "Unknown command '%s'; 'help' lists what there is.", verb);
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
        else
            good = good && word[1][0] == 0;
        break;
    }
    if (!good)
        format(why, why_size, "Not understood. Usage: %s", commands[i].usage);
    return good;
}
