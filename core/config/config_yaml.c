/* SPDX-License-Identifier: MIT */
/* The configuration file. */
#define _GNU_SOURCE
#include "config/config_yaml.h"

#include "base/buf.h"
#include "build-config.h"
#include "base/error.h"
#include "base/near.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#ifdef HAVE_YAML
#include <yaml.h>

/* A hand-written configuration is a few KiB. */
#define FILE_CEILING (1u << 20)
/* What a shell's <(command) may take to write it. */
#define WAIT_MS 1000
/* Entries of one selector. */
#define SELECTOR_MOST 4096

struct loader {
    tally_config *config;
    enum layer layer;
    const char *what;
    yaml_document_t document;
    struct tally_error *error;
};

/* What is taken but hardly meant. -ENOMEM. */
static int remark_at(const struct loader *l, const yaml_node_t *node, const char *text) {
    struct tally_error whole;
    error_set(&whole, "%.200s:%zu: %s", l->what, node->start_mark.line + 1, text);
    return config_remark(l->config, &whole);
}

/* -EINVAL, with the place in front of the text that is in error already. */
static int fail_at(const struct loader *l, const yaml_node_t *node, int r) {
    struct tally_error inner = {{0}};
    if (l->error)
        inner = *l->error;
    error_set(l->error, "%.200s:%zu: %s", l->what, node->start_mark.line + 1, inner.text);
    return r;
}

static const char *scalar(const yaml_node_t *node) {
    /* a NUL inside would end the text early and hide the rest */
    if (node->type != YAML_SCALAR_NODE ||
        strlen((const char *)node->data.scalar.value) != node->data.scalar.length)
        return NULL;
    return (const char *)node->data.scalar.value;
}

/* A value that YAML calls null ("include:" with nothing behind it). */
static bool is_null(const yaml_node_t *node) {
    const char *text = scalar(node);
    return text && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (!*text || strcmp(text, "~") == 0 || strcmp(text, "null") == 0);
}

/* A key that stands twice in a mapping: of two values one would be lost. */
static int check_keys(struct loader *l, const yaml_node_t *map, const char *what) {
    const yaml_node_pair_t *first = map->data.mapping.pairs.start;
    for (const yaml_node_pair_t *p = first; p < map->data.mapping.pairs.top; p++) {
        const yaml_node_t *node = yaml_document_get_node(&l->document, p->key);
        const char *key = scalar(node);
        for (const yaml_node_pair_t *q = first; key && q < p; q++) {
            const char *other = scalar(yaml_document_get_node(&l->document, q->key));
            if (other && strcmp(key, other) == 0) {
                error_set(l->error, "%s: %.100s is given twice, expected once", what, key);
                return fail_at(l, node, -EINVAL);
            }
        }
    }
    return 0;
}

/* "!word" without quotes: YAML takes it for a type, of a text that is empty. */
static bool lacks_quotes(const yaml_node_t *node) {
    const char *tag = (const char *)node->tag;
    return tag && tag[0] == '!' && tag[1] && is_null(node);
}

static int set_scalar(struct loader *l, enum option option, const yaml_node_t *node) {
    const struct tally_option *row = tally_option((size_t)option);
    const char *text = is_null(node) ? "" : scalar(node);
    if (lacks_quotes(node)) {
        error_set(l->error, "%s has %.100s without quotes, expected a text that begins with ! in "
                            "quotes",
                  row->name, (const char *)node->tag);
        return fail_at(l, node, -EINVAL);
    }
    if (!text) {
        error_set(l->error, "%s is not a plain value, expected %s", row->name,
                  option_expected(option));
        return fail_at(l, node, -EINVAL);
    }
    int r = config_set(l->config, l->layer, option, text, l->error);
    return r < 0 ? fail_at(l, node, r) : 0;
}

static int set_list(struct loader *l, enum option option, const yaml_node_t *list) {
    int r = config_set(l->config, l->layer, option, "", l->error);
    for (yaml_node_item_t *i = list->data.sequence.items.start;
         r == 0 && i < list->data.sequence.items.top; i++)
        r = set_scalar(l, option, yaml_document_get_node(&l->document, *i));
    return r;
}

/* labels: {key: value}, collect: {pss: true} */
static int set_mapping(struct loader *l, enum option option, const yaml_node_t *map) {
    /* labels look for keys that are given twice themselves */
    int r = option == OPTION_LABELS ? 0 : check_keys(l, map, "collect");
    if (r == 0)
        r = config_set(l->config, l->layer, option, "", l->error);
    for (yaml_node_pair_t *p = map->data.mapping.pairs.start;
         r == 0 && p < map->data.mapping.pairs.top; p++) {
        const yaml_node_t *key_node = yaml_document_get_node(&l->document, p->key);
        const char *key = scalar(key_node);
        const char *value = scalar(yaml_document_get_node(&l->document, p->value));
        char text[1024];
        bool on = false;
        int len = -1;
        if (key && value && option == OPTION_LABELS)
            len = snprintf(text, sizeof(text), "%s=%s", key, value);
        else if (key && value && option_parse_switch(value, &on) == 0)
            len = snprintf(text, sizeof(text), "%s%s", on ? "" : "no-", key);
        if (len < 0 || (size_t)len >= sizeof(text)) {
            error_set(l->error, "%s is wrong, expected %s",
                      tally_option((size_t)option)->name,
                      option == OPTION_LABELS ? "a text for each key" : "true or false for each key");
            return fail_at(l, key_node, -EINVAL);
        }
        r = config_set(l->config, l->layer, option, text, l->error);
        if (r < 0)
            return fail_at(l, key_node, r);
    }
    return r;
}

/* One selector: a text or a list of texts. An empty list of expressions is one that matches
 * everything; an empty list of anything else nobody can match, and is told of in *ret_empty. */
static int read_selector(struct loader *l, const yaml_node_t *node, enum selector selector,
                         struct string_list *to, const char **ret_empty) {
    const bool is_list = node->type == YAML_SEQUENCE_NODE;
    const char *key = selector_names[selector];
    size_t count = 1;
    if (is_null(node)) /* as process-exporter: not given */
        return 0;
    if (is_list)
        count = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
    if (count > SELECTOR_MOST) {
        error_set(l->error, "%s has %zu entries, expected at most %d", key, count, SELECTOR_MOST);
        return fail_at(l, node, -EINVAL);
    }
    if (count == 0 && selector == SELECTOR_CMDLINE)
        return string_list_add(to, "", 0);
    if (count == 0)
        *ret_empty = key;
    for (size_t i = 0; i < count; i++) {
        const yaml_node_t *item =
            is_list ? yaml_document_get_node(&l->document, node->data.sequence.items.start[i])
                    : node;
        const char *text = scalar(item);
        if (!text) {
            error_set(l->error, "%s is wrong, expected a text or a list of texts", key);
            return fail_at(l, item, -EINVAL);
        }
        /* here, so that the message has the line of this part and not of the rule */
        int r = selector == SELECTOR_CMDLINE ? config_check_cmdline(text, l->error) : 0;
        if (r < 0)
            return fail_at(l, item, r);
        r = string_list_add(to, text, strlen(text));
        if (r < 0)
            return r;
    }
    return 0;
}

static int read_selection(struct loader *l, const yaml_node_t *map, unsigned depth,
                          struct selection *to, const char **ret_empty);

/* Selectors within those of a rule, which the mapping of a key is. Anchors can make a mapping
 * part of itself. */
static int read_inner(struct loader *l, const yaml_node_t *map, const char *key, unsigned depth,
                      struct selection **to) {
    const char *empty = NULL;
    if (is_null(map))
        return 0;
    if (map->type != YAML_MAPPING_NODE || depth == 0) {
        error_set(l->error, "%s in a rule is wrong, expected a mapping of selectors, at most %d "
                            "deep",
                  key, CONFIG_SELECTION_DEPTH);
        return fail_at(l, map, -EINVAL);
    }
    *to = calloc(1, sizeof(**to));
    if (!*to)
        return -ENOMEM;
    int r = check_keys(l, map, key);
    if (r == 0)
        r = read_selection(l, map, depth - 1, *to, &empty);
    if (r == 0 && empty) {
        error_set(l->error, "%s in %s of a rule has an empty list, expected an entry", empty, key);
        r = fail_at(l, map, -EINVAL);
    }
    return r;
}

/* 1: it is none of the selectors. */
static int read_one(struct loader *l, const char *key, const yaml_node_t *value, unsigned depth,
                    struct selection *to, const char **ret_empty) {
    for (enum selector s = 0; s < SELECTORS; s++)
        if (strcmp(key, selector_names[s]) == 0)
            return read_selector(l, value, s, &to->selectors[s], ret_empty);
    if (strcmp(key, "not") == 0)
        return read_inner(l, value, key, depth, &to->unless);
    if (strcmp(key, selector_names[SELECTOR_PARENT]) == 0)
        return read_inner(l, value, key, depth, &to->parent);
    return 1;
}

static int unknown_selector(struct loader *l, const yaml_node_t *node, const char *key,
                            const char *besides) {
    error_set(l->error, "\"%.100s\" in a rule is wrong, expected %s" CONFIG_SELECTORS, key, besides);
    return fail_at(l, node, -EINVAL);
}

static int read_selection(struct loader *l, const yaml_node_t *map, unsigned depth,
                          struct selection *to, const char **ret_empty) {
    int r = 0;
    for (yaml_node_pair_t *p = map->data.mapping.pairs.start;
         r == 0 && p < map->data.mapping.pairs.top; p++) {
        const yaml_node_t *key_node = yaml_document_get_node(&l->document, p->key);
        const char *key = scalar(key_node);
        r = key ? read_one(l, key, yaml_document_get_node(&l->document, p->value), depth, to,
                           ret_empty)
                : 1;
        if (r > 0)
            r = unknown_selector(l, key_node, key ? key : "?", "");
    }
    return r;
}

static int read_name(struct loader *l, const yaml_node_t *node, struct rule_text *rule) {
    const char *text = scalar(node);
    if (!text) {
        error_set(l->error, "name in a rule is not a text, expected one, in quotes if it begins "
                            "with {: \"{{.Comm}}\"");
        return fail_at(l, node, -EINVAL);
    }
    int r = config_check_name(text, l->error);
    if (r < 0)
        return fail_at(l, node, r);
    if (!*text) /* the default */
        return 0;
    rule->name = strdup(text);
    return rule->name ? 0 : -ENOMEM;
}

static int read_drop(struct loader *l, const yaml_node_t *node, struct rule_text *rule) {
    const char *text = scalar(node);
    if (text && option_parse_switch(text, &rule->drop) == 0)
        return 0;
    error_set(l->error, "drop in a rule is wrong, expected true or false");
    return fail_at(l, node, -EINVAL);
}

static int read_parts(struct loader *l, const yaml_node_t *map, struct rule_text *rule,
                      const char **ret_empty) {
    int r = check_keys(l, map, "a rule");
    for (yaml_node_pair_t *p = map->data.mapping.pairs.start;
         r == 0 && p < map->data.mapping.pairs.top; p++) {
        const yaml_node_t *key_node = yaml_document_get_node(&l->document, p->key);
        const yaml_node_t *value = yaml_document_get_node(&l->document, p->value);
        const char *key = scalar(key_node);
        if (key && strcmp(key, "name") == 0)
            r = read_name(l, value, rule);
        else if (key && strcmp(key, "drop") == 0)
            r = read_drop(l, value, rule);
        else
            r = key ? read_one(l, key, value, CONFIG_SELECTION_DEPTH, &rule->when, ret_empty) : 1;
        if (r > 0)
            r = unknown_selector(l, key_node, key ? key : "?", "name (a text), drop, ");
    }
    return r;
}

static int read_rule(struct loader *l, const yaml_node_t *map) {
    struct rule_text rule = {.line = (unsigned)map->start_mark.line + 1};
    const char *empty = NULL; /* a selector with an empty list */
    if (map->type != YAML_MAPPING_NODE) {
        error_set(l->error, "a rule of process_names is not a mapping, expected name and selectors "
                            "(" CONFIG_SELECTORS ")");
        return fail_at(l, map, -EINVAL);
    }
    int r = read_parts(l, map, &rule, &empty);
    if (r == 0 && !empty) {
        r = config_take_rule(l->config, l->layer, &rule, l->error);
        return r == -ENOMEM || r == 0 ? r : fail_at(l, map, r);
    }
    rule_text_free(&rule);
    if (r < 0)
        return r;
    char text[200];
    snprintf(text, sizeof(text), "%s has an empty list, so that the rule never matches", empty);
    return remark_at(l, map, text);
}

/* What the lines of the rules count in. -ENOMEM. */
static int note_origin(tally_config *c, const char *what) {
    char *copy = strdup(what);
    if (!copy)
        return -ENOMEM;
    free(c->rules_from);
    c->rules_from = copy;
    return 0;
}

static int read_rules(struct loader *l, const yaml_node_t *list) {
    /* an empty list is one: it empties what was there */
    if (is_null(list) ||
        (list->type == YAML_SEQUENCE_NODE &&
         list->data.sequence.items.start == list->data.sequence.items.top)) {
        config_clear_rules(l->config, l->layer);
        return 0;
    }
    if (list->type != YAML_SEQUENCE_NODE) {
        error_set(l->error, "process_names is not a list, expected a list of rules");
        return fail_at(l, list, -EINVAL);
    }
    int r = l->config->rule_layer <= l->layer ? note_origin(l->config, l->what) : 0;
    for (yaml_node_item_t *i = list->data.sequence.items.start;
         r == 0 && i < list->data.sequence.items.top; i++)
        r = read_rule(l, yaml_document_get_node(&l->document, *i));
    return r;
}

/* A slip of the pen would be lost if it was passed over; what is far from every option is
 * another program's, whose file this is. */
static int unknown_key(struct loader *l, const yaml_node_t *node, const char *key) {
    const struct tally_option *option;
    const char *meant = NULL;
    for (size_t i = 0; key && (option = tally_option(i)); i++)
        if (is_near(key, strlen(key), option->name))
            meant = option->name;
    if (!key || meant) {
        error_set(l->error, "there is no option \"%.100s\", expected %s", key ? key : "?",
                  meant ? meant : "one that --help lists");
        return fail_at(l, node, -EINVAL);
    }
    char text[200];
    snprintf(text, sizeof(text), "there is no option \"%.100s\": passed over", key);
    return remark_at(l, node, text);
}

static int read_options(struct loader *l, const yaml_node_t *map) {
    if (is_null(map))
        return 0;
    if (map->type != YAML_MAPPING_NODE) {
        error_set(l->error, "the file is not a mapping, expected options such as \"interval: 15s\"");
        return fail_at(l, map, -EINVAL);
    }
    unsigned seen = 0;
    int r = 0;
    for (yaml_node_pair_t *p = map->data.mapping.pairs.start;
         r == 0 && p < map->data.mapping.pairs.top; p++) {
        const yaml_node_t *key_node = yaml_document_get_node(&l->document, p->key);
        const yaml_node_t *value = yaml_document_get_node(&l->document, p->value);
        const char *key = scalar(key_node);
        int option = key ? option_find(key, strlen(key)) : -1;
        if (option < 0) {
            r = unknown_key(l, key_node, key);
            continue;
        }
        if (seen & 1u << option) {
            error_set(l->error, "%s is given twice, expected once", key);
            return fail_at(l, key_node, -EINVAL);
        }
        seen |= 1u << option;
        const struct tally_option *row = tally_option((size_t)option);
        if (row->type == TALLY_OPTION_RULES)
            r = read_rules(l, value);
        else if (row->repeatable && is_null(value))
            r = config_set(l->config, l->layer, (enum option)option, "", l->error);
        else if (row->repeatable && value->type == YAML_SEQUENCE_NODE)
            r = set_list(l, (enum option)option, value);
        else if (row->repeatable && value->type == YAML_MAPPING_NODE &&
                 (option == OPTION_LABELS || option == OPTION_COLLECT))
            r = set_mapping(l, (enum option)option, value);
        else
            r = set_scalar(l, (enum option)option, value);
    }
    return r;
}

/* YAML's own words, and what helps with the mistakes that are made most. */
static void tell_not_yaml(const struct loader *l, const yaml_parser_t *parser, const char *text,
                          size_t len) {
    size_t line = parser->problem_mark.line + 1;
    if (parser->error == YAML_READER_ERROR) { /* it then knows the byte only */
        line = 1;
        for (size_t i = 0; i < len && i < parser->problem_offset; i++)
            line += text[i] == '\n';
    }
    const char *context = parser->context ? parser->context : "";
    const char *sign = strstr(context, "alias") ? "*" : strstr(context, "tag") ? "!" : NULL;
    error_set(l->error, "%.200s:%zu: not YAML: %s%s%s%s%s%s", l->what, line, parser->problem,
              *context ? " " : "", context, sign ? "; a text that begins with " : "",
              sign ? sign : "", sign ? " needs quotes" : "");
}

/* The document that has just been read: the first is the configuration, and there is
 * nothing behind it. */
static int read_document(struct loader *l, bool is_first, bool only_rules) {
    const yaml_node_t *root = yaml_document_get_root_node(&l->document);
    if (!root)
        return 0;
    if (is_first)
        return only_rules ? read_rules(l, root) : read_options(l, root);
    if (is_null(root))
        return 0;
    error_set(l->error, "a second YAML document begins here, expected all options in one");
    return fail_at(l, root, -EINVAL);
}

int config_load_text(tally_config *c, enum layer layer, const char *what, const char *text,
                     size_t len, bool only_rules, struct tally_error *error) {
    struct loader l = {.config = c, .layer = layer, .what = what, .error = error};
    yaml_parser_t parser;
    int r = 0;
    if (!yaml_parser_initialize(&parser)) {
        error_set(error, "out of memory");
        return -ENOMEM;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    if (only_rules && len == 0)
        config_clear_rules(c, layer);
    for (bool is_first = true, has_more = true; r == 0 && has_more; is_first = false) {
        if (!yaml_parser_load(&parser, &l.document)) {
            r = parser.problem ? -EINVAL : -ENOMEM;
            if (parser.problem)
                tell_not_yaml(&l, &parser, text, len);
            break;
        }
        has_more = yaml_document_get_root_node(&l.document) != NULL;
        r = read_document(&l, is_first, only_rules);
        yaml_document_delete(&l.document);
    }
    if (r == -ENOMEM)
        error_set(error, "out of memory");
    yaml_parser_delete(&parser);
    return r;
}

static uint64_t now_ms(void) {
    struct timespec t = {0};
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* -ETIMEDOUT: nobody writes to that pipe, or not to its end. */
static int read_all(int fd, struct buf *to) {
    const uint64_t until_ms = now_ms() + WAIT_MS;
    for (;;) {
        if (buf_reserve(to, 4096) < 0)
            return to->error;
        ssize_t n = read(fd, to->data + to->len, to->size - to->len);
        if (n > 0)
            to->len += (size_t)n;
        else if (n == 0)
            return 0;
        else if (errno == EAGAIN) {
            const uint64_t at_ms = now_ms();
            if (at_ms >= until_ms)
                return -ETIMEDOUT;
            poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, (int)(until_ms - at_ms));
        } else if (errno != EINTR) {
            return -errno;
        }
    }
}

/* Never waits for long, whatever the path names. */
static int read_file(const char *path, struct buf *to, struct tally_error *error) {
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    int r = fd < 0 || fstat(fd, &st) < 0 ? -errno : 0;
    const bool is_pipe = r == 0 && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode));
    if (r == 0)
        r = read_all(fd, to);
    if (fd >= 0)
        close(fd);
    if (r == -ETIMEDOUT || (r == 0 && is_pipe && to->len == 0)) {
        error_set(error, "%.300s is no file but a %s that nothing comes from, expected a "
                         "configuration file",
                  path, is_pipe ? "pipe" : "device");
        r = -EINVAL;
    } else if (r == -E2BIG) {
        error_set(error, "%.300s is larger than %u MiB, expected a configuration file", path,
                  FILE_CEILING >> 20);
    } else if (r < 0) {
        error_set(error, "%.300s: %s, expected a configuration file", path, strerror(-r));
    }
    return r;
}

int tally_config_load(tally_config *config, const char *path, struct tally_error *error) {
    struct buf text;
    buf_init(&text, FILE_CEILING);
    int r = read_file(path, &text, error);
    if (r == 0)
        r = config_load_text(config, LAYER_FILE, path, text.data ? text.data : "", text.len, false,
                             error);
    buf_free(&text);
    return r;
}

#else /* !HAVE_YAML */

int config_load_text(tally_config *c, enum layer layer, const char *what, const char *text,
                     size_t len, bool only_rules, struct tally_error *error) {
    (void)c, (void)layer, (void)text, (void)len, (void)only_rules;
    error_set(error, "%.200s: this build has no libyaml and can't read YAML", what);
    return -ENOTSUP;
}

int tally_config_load(tally_config *config, const char *path, struct tally_error *error) {
    return config_load_text(config, LAYER_FILE, path, "", 0, false, error);
}

#endif
