// SPDX-License-Identifier: Apache-2.0
/*
 * Checks a mullion.conf on the developer's machine with the very code that root uses:
 *
 *     check-config FILE --cpus N --memory SIZE [--module NAME PATH]...
 *     check-config --keys
 *
 * Each mistake is printed as FILE:LINE: text. Exit status: 0 no mistake, 1 mistakes, 2 it could not be checked. SIZE is
 * the machine's whole memory, with K, M or G; what the kernel, the services and the modules take is subtracted by a
 * careful guess, since only a running machine knows exactly. Then each guest's kernel is loaded as its monitor would do
 * it (check-images.h). --keys prints the tables of docs/configuration.md.
 *
 * Built by the Makefile from this file, check-images.c, config/, and what these need of vmm/ and lib/.
 */
#define _DEFAULT_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "config/config.h"
#include "config/keys.h"
#include "mullion/pool.h"
#include "tools/check-images.h"

#define TEXT_OF(number)  TEXT_OF_(number)
#define TEXT_OF_(number) #number
#define HOST_TAKES       (16ull << 20) /* the kernel's image, root and console, firmware's holes */
#define FIRMWARE_TAKES   (2ull << 20)  /* of them: what firmware does not list as usable, or as one piece */

static struct config config;
static struct config_module modules[256];
static struct check_file files[256];

static void print_mistake(void *context, unsigned line, const char *text)
{
    printf("%s:%u: %s\n", (const char *)context, line, text);
}

static int usage(const char *why)
{
    fprintf(stderr,
            "check-config: %s\nusage: check-config FILE --cpus N --memory SIZE [--module NAME PATH]...\n"
            "       check-config --keys\n",
            why);
    return 2;
}

/* What a key is without a line for it. */
static void print_default(const struct config_key *key)
{
    if (key->or_else != NULL)
        printf("this or `%s`", key->or_else);
    else if (key->initial != NULL)
        printf(key->initial[0] != 0 ? "`%s`" : "empty", key->initial);
    else
        printf("%s", key->required ? "needed" : "none");
}

static void print_key(const struct config_key *key)
{
    char allowed[128];
    config_key_allowed(key, allowed, sizeof allowed);
    const char *mark = key->form != NULL && strcmp(allowed, key->form) == 0 ? "`" : "";
    printf("| `%s` | %s%s%s | ", key->name, mark, allowed, mark);
    print_default(key);
    printf(" | %s", key->help);
    if (key->needs != NULL)
        printf(" Only with `%s`.", key->needs);
    if (key->excludes != NULL && key->or_else == NULL)
        printf(" Not with `%s`.", key->excludes);
    printf(" |\n");
}

static void print_keys(enum config_section section, const char *head)
{
    const struct config_key *key;
    printf("%s\n| key | value | default | what it is |\n|---|---|---|---|\n", head);
    for (unsigned k = 0; (key = config_key_at(k)) != NULL; k++)
        if (key->section == section)
            print_key(key);
}

static char *read_file(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return NULL;
    char *text = NULL;
    size_t used = 0, room = 0;
    for (;;) {
        if (used == room) {
            room = room ? room * 2 : 65536;
            char *more = realloc(text, room);
            if (more == NULL)
                break;
            text = more;
        }
        size_t n = fread(text + used, 1, room - used, f);
        if (n == 0)
            break;
        used += n;
    }
    bool good = !ferror(f) && text != NULL;
    fclose(f);
    if (!good) {
        free(text);
        return NULL;
    }
    *size = used;
    return text;
}

static uint64_t size_argument(const char *text)
{
    char *end;
    unsigned long long n = strtoull(text, &end, 10);
    unsigned shift = 0;
    switch (*end) {
    case 'K': shift = 10; break;
    case 'M': shift = 20; break;
    case 'G': shift = 30; break;
    default: break;
    }
    if (end == text || text[0] == '-' || (shift ? end[1] : end[0]) != 0 || n > (1ull << 50) >> shift)
        return 0;
    return n << shift;
}

/* The file's bytes, for as long as this runs. An empty one has none. */
static bool map_file(const char *path, struct check_file *file)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool good = fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
    *file = (struct check_file){.size = good ? (uint64_t)status.st_size : 0};
    if (file->size != 0) {
        void *at = mmap(NULL, file->size, PROT_READ, MAP_PRIVATE, fd, 0);
        good = at != MAP_FAILED;
        file->bytes = at;
    }
    if (fd >= 0)
        close(fd);
    return good;
}

/* 0, or the exit status that says why not. */
static int add_module(struct config_machine *machine, const char *name, const char *path)
{
    if (path == NULL || machine->module_count == ARRAY_SIZE(modules))
        return usage("--module NAME PATH, at most 256 of them");
    struct check_file *file = &files[machine->module_count];
    if (!map_file(path, file)) {
        fprintf(stderr, "check-config: %s cannot be read\n", path);
        return 2;
    }
    modules[machine->module_count++] = (struct config_module){name, file->size};
    return 0;
}

/* What guests may use of a machine with `whole` bytes, by a careful guess; the modules' bytes are told. */
static void subtract_host(struct config_machine *machine, uint64_t whole)
{
    uint64_t usable = whole > FIRMWARE_TAKES ? whole - FIRMWARE_TAKES : 0;
    uint64_t pool = pool_bytes(usable, machine->cpus);
    uint64_t spent = CONFIG_KERNEL_HOST + (128 + 20ull * machine->cpus) * PAGE_SIZE; /* the kernel's own of the pool */
    uint64_t taken = HOST_TAKES + pool_bytes(whole, machine->cpus);
    for (unsigned i = 0; i < machine->module_count; i++)
        taken += machine->module[i].size;
    machine->kernel_memory = pool > spent ? pool - spent : 0;
    machine->memory = whole > taken ? whole - taken : 0;
}

int main(int argc, char **argv)
{
    const char *file = NULL;
    struct config_machine machine = {.cpus = 0, .memory = 0, .module_count = 0, .module = modules};
    if (argc == 2 && strcmp(argv[1], "--keys") == 0) {
        print_keys(IN_HOST, "[host]");
        print_keys(IN_GUEST, "[guest NAME]");
        return 0;
    }
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (argv[i][0] != '-') {
            if (file != NULL)
                return usage("one FILE, please");
            file = argv[i];
            continue;
        }
        if (value == NULL)
            return usage("the last option lacks its value");
        i++;
        if (strcmp(argv[i - 1], "--cpus") == 0) {
            long n = strtol(value, NULL, 10);
            if (n < 1 || n > MAX_CPUS)
                return usage("--cpus: 1 to " TEXT_OF(MAX_CPUS));
            machine.cpus = (unsigned)n;
        } else if (strcmp(argv[i - 1], "--memory") == 0) {
            machine.memory = size_argument(value);
        } else if (strcmp(argv[i - 1], "--module") == 0) {
            int status = add_module(&machine, value, i + 1 < argc ? argv[i + 1] : NULL);
            if (status != 0)
                return status;
            i++;
        } else {
            return usage("unknown option");
        }
    }
    if (file == NULL || machine.cpus == 0 || machine.memory == 0)
        return usage("FILE, --cpus and --memory are needed");
    subtract_host(&machine, machine.memory);

    size_t size;
    char *text = read_file(file, &size);
    if (text == NULL) {
        fprintf(stderr, "check-config: %s cannot be read\n", file);
        return 2;
    }
    config_parse(&config, text, size, &machine, print_mistake, (void *)file);
    free(text);
    unsigned unloadable = check_images(&config, files, print_mistake, (void *)file);
    if (config.mistakes == 0 && config.guest_count == 0)
        printf("%s: no guest is configured\n", file);
    return config.mistakes != 0 || unloadable != 0;
}
