// SPDX-License-Identifier: Apache-2.0
/*
 * A value of any type, as its row in the table says. See config.h. A value that cannot be read is reported with what is
 * allowed, and the guest is left out.
 */
#include "config/parser.h"
#include "lib/string.h"

#define ALLOWED_MAX 128

struct allowed {
    char text[ALLOWED_MAX];
};

static struct allowed allowed(const struct config_key *key)
{
    struct allowed a = {.text = ""};
    config_key_allowed(key, a.text, sizeof a.text);
    return a;
}

static void store_number(void *field, size_t size, uint64_t value)
{
    switch (size) {
    case 1: *(uint8_t *)field = (uint8_t)value; break;
    case 2: *(uint16_t *)field = (uint16_t)value; break;
    case 4: *(uint32_t *)field = (uint32_t)value; break;
    default: *(uint64_t *)field = value; break;
    }
}

static void not_known(struct config_parser *p, const struct config_key *key, struct span value)
{
    config_bad(p, "%s: '%s' is not known; %s is allowed", key->name, config_quote(value).text, allowed(key).text);
}

static void bool_value(struct config_parser *p, const struct config_key *key, bool *field, struct span value)
{
    *field = span_is(value, "yes");
    if (!*field && !span_is(value, "no"))
        not_known(p, key, value);
}

/* The number of the choice, or of all choices if it is none of them. */
static unsigned find_choice(const struct config_key *key, struct span value)
{
    unsigned i = 0;
    while (key->choice[i] != NULL && !span_is(value, key->choice[i]))
        i++;
    return i;
}

static void choice_value(struct config_parser *p, const struct config_key *key, void *field, struct span value)
{
    unsigned i = find_choice(key, value);
    if (key->choice[i] == NULL)
        not_known(p, key, value);
    else
        store_number(field, key->size, i);
}

static void flags_value(struct config_parser *p, const struct config_key *key, bool *field, struct span value)
{
    struct span list = value, item;
    for (unsigned i = 0; key->choice[i] != NULL; i++)
        field[i] = false;
    while (take_item(&list, &item)) {
        unsigned i = find_choice(key, item);
        if (key->choice[i] == NULL) {
            not_known(p, key, item);
            return;
        }
        if (field[i]) {
            config_bad(p, "%s: '%s' is there twice; %s is allowed", key->name, key->choice[i], allowed(key).text);
            return;
        }
        field[i] = true;
    }
}

static void number_value(struct config_parser *p, const struct config_key *key, void *field, struct span value)
{
    struct span rest = value;
    uint64_t n;
    if (take_number_or_hex(&rest, &n) && rest.size == 0 && n >= key->least && n <= key->most)
        store_number(field, key->size, n);
    else
        config_bad(p, "%s: '%s' is not a number in the range; %s is allowed", key->name, config_quote(value).text,
                   allowed(key).text);
}

static void size_value(struct config_parser *p, const struct config_key *key, uint64_t *field, struct span value)
{
    struct span rest = value;
    uint64_t bytes;
    const char *wrong = NULL;
    bool negative = take_word(&rest, "-");
    if (!take_size(&rest, &bytes) || rest.size != 0) {
        config_bad(p, "%s: '%s' is not a size; a number with K, M or G, like 512M, is allowed", key->name,
                   config_quote(value).text);
        return;
    }
    if (negative)
        wrong = "negative";
    else if (bytes < key->least)
        wrong = "too small";
    else if (bytes > key->most)
        wrong = "too large";
    else if (bytes % key->multiple != 0)
        wrong = "not a multiple of the step";
    if (wrong != NULL)
        config_bad(p, "%s: '%s' is %s; %s is allowed", key->name, config_quote(value).text, wrong, allowed(key).text);
    else
        *field = bytes;
}

static void text_value(struct config_parser *p, const struct config_key *key, const char **field, struct span value)
{
    if (value.size > key->most)
        config_bad(p, "%s: it has %u bytes; at most %u are allowed", key->name, (unsigned)value.size,
                   (unsigned)key->most);
    else
        *field = config_keep_text(p, key->name, value);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* RFC 4122, section 3. */
static void uuid_value(struct config_parser *p, const struct config_key *key, uint8_t *field, struct span value)
{
    static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    uint8_t uuid[16] = {0}, any = 0;
    bool good = value.size == sizeof form - 1;
    for (unsigned i = 0, digit = 0; good && i < sizeof form - 1; i++) {
        int d = hex_digit(value.at[i]);
        if (form[i] == '-') {
            good = value.at[i] == '-';
        } else if (d < 0) {
            good = false;
        } else {
            uuid[digit / 2] = (uint8_t)(uuid[digit / 2] << 4 | d);
            any |= (uint8_t)d;
            digit++;
        }
    }
    if (good && any != 0)
        memcpy(field, uuid, sizeof uuid);
    else
        config_bad(p, "%s: '%s' is not a UUID; %s is allowed", key->name, config_quote(value).text, allowed(key).text);
}

void config_value(struct config_parser *p, const struct config_key *key, struct span value)
{
    struct config_guest *g = &p->c->guest[p->guest];
    void *field = (key->section == IN_HOST ? (char *)p->c : (char *)g) + key->offset;
    switch (key->type) {
    case TYPE_BOOL: bool_value(p, key, field, value); break;
    case TYPE_CHOICE: choice_value(p, key, field, value); break;
    case TYPE_FLAGS: flags_value(p, key, field, value); break;
    case TYPE_NUMBER: number_value(p, key, field, value); break;
    case TYPE_SIZE: size_value(p, key, field, value); break;
    case TYPE_TEXT: text_value(p, key, field, value); break;
    case TYPE_MODULE: config_module_value(p, key, g, value); break;
    case TYPE_MODULES: config_modules_value(p, key, g, value); break;
    case TYPE_CPUS: config_cpus_value(p, g, value); break;
    case TYPE_CPUSET: config_cpuset_value(p, key, field, value); break;
    case TYPE_SHARE: config_share_value(p, g, value); break;
    case TYPE_UUID: uuid_value(p, key, field, value); break;
    case TYPE_REGIONS: config_regions_value(p, g, value); break;
    }
}
