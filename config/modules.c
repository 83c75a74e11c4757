// SPDX-License-Identifier: Apache-2.0
/* The keys that name boot modules: `kernel`, `initrd` and `modules`. See config.h. */
#include "config/parser.h"

/* The module that the first word of `item` names. False: there is none, and that is reported. */
static bool find_module(struct config_parser *p, const char *key, struct span item, unsigned *index)
{
    const struct config_machine *machine = p->machine;
    struct span name = take_until_blank(&item);
    struct config_list have = {.used = 0};
    for (unsigned i = 0; i < machine->module_count; i++) {
        struct span module = span_of(machine->module[i].name);
        if (!span_is(name, module.at)) {
            config_list_add(&have, "%s", config_quote(module).text);
            continue;
        }
        *index = i;
        if (machine->module[i].size != 0)
            return true;
        config_bad(p, "%s: the module '%s' is empty", key, config_quote(name).text);
        return false;
    }
    config_bad(p, "%s: no module is called '%s'; loaded are: %s", key, config_quote(name).text,
               have.used != 0 ? have.text : "none");
    return false;
}

/* `item`, a module's name and perhaps arguments, becomes the guest's module number `slot`. */
static void set_module(struct config_parser *p, const char *key, struct config_guest *g, unsigned slot,
                       struct span item)
{
    unsigned index;
    if (item.size >= CONFIG_ARGS_MAX) {
        config_bad(p, "%s: '%s' has %u bytes; at most %d are allowed", key, config_quote(item).text,
                   (unsigned)item.size, CONFIG_ARGS_MAX - 1);
        return;
    }
    if (!find_module(p, key, item, &index))
        return;
    g->module[slot] = index;
    g->module_args[slot] = config_keep_text(p, key, item);
    if (g->module_count <= slot)
        g->module_count = slot + 1;
}

void config_module_value(struct config_parser *p, const struct config_key *key, struct config_guest *g,
                         struct span value)
{
    struct span rest = value;
    (void)take_until_blank(&rest);
    if (rest.size != 0 || span_has(value, ',')) {
        config_bad(p, "%s: '%s' is more than a module's name; one name is allowed%s", key->name,
                   config_quote(value).text, key->slot == 0 ? " (the kernel's command line goes into cmdline)" : "");
        return;
    }
    g->initrd = g->initrd || key->slot != 0;
    set_module(p, key->name, g, key->slot, value);
}

void config_modules_value(struct config_parser *p, const struct config_key *key, struct config_guest *g,
                          struct span value)
{
    struct span list = value, item;
    for (unsigned slot = key->slot; take_item(&list, &item); slot++) {
        if (item.size == 0) {
            config_bad(p, "%s: an item of the list is empty; names with a comma between them are allowed", key->name);
            return;
        }
        if (slot == VMM_MODULES_MAX) {
            config_bad(p, "%s: there are more than %u; that many are allowed", key->name, VMM_MODULES_MAX - key->slot);
            return;
        }
        set_module(p, key->name, g, slot, item);
    }
}
