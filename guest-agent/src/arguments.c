#include "arguments.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULTS_MAX = 7 };

struct variable {
    const char *key;
    const char *value;
};

static size_t defaults(const struct user *user, bool terminal, struct variable *list) {
    size_t count = 0;
    list[count++] = (struct variable){"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
    list[count++] = (struct variable){"HOME", user->home};
    list[count++] = (struct variable){"USER", user->name};
    list[count++] = (struct variable){"LOGNAME", user->name};
    list[count++] = (struct variable){"SHELL", user->shell};
    list[count++] = (struct variable){"LANG", "C.UTF-8"};
    if (terminal)
        list[count++] = (struct variable){"TERM", "xterm-256color"};
    return count;
}

static bool check_argv(const StartExec *start, struct failure *failure) {
    if (start->argv.count == 0 || start->argv.first->text.size == 0)
        return fail(failure, Failure_Code_BAD_REQUEST, "argv is empty");
    for (const struct text_node *node = start->argv.first; node; node = node->next)
        if (text_has_nul(node->text))
            return fail(failure, Failure_Code_BAD_REQUEST, "an element of argv contains a NUL");
    return true;
}

static bool check_variable(const StartExec_EnvEntry *entry, struct failure *failure) {
    if (entry->key.size == 0 || memchr(entry->key.data, '=', entry->key.size))
        return fail(failure, Failure_Code_BAD_REQUEST, "the name of an environment variable is empty or contains '='");
    if (text_has_nul(entry->key) || text_has_nul(entry->value))
        return fail(failure, Failure_Code_BAD_REQUEST, "an environment variable contains a NUL");
    return true;
}

static bool check_env(const StartExec *start, struct failure *failure) {
    for (const struct text_node *node = start->env.first; node; node = node->next) {
        StartExec_EnvEntry entry;
        if (codec_decode_env_entry(&entry, node->text) < 0)
            return fail(failure, Failure_Code_BAD_REQUEST, "env does not parse");
        if (!check_variable(&entry, failure))
            return false;
    }
    return true;
}

static bool is_overridden(const StartExec *start, const char *key) {
    StartExec_EnvEntry entry;
    for (const struct text_node *node = start->env.first; node; node = node->next)
        if (codec_decode_env_entry(&entry, node->text) == 0 && text_equals(entry.key, key))
            return true;
    return false;
}

static size_t block_size(const StartExec *start, const struct variable *list, size_t count) {
    size_t size = (start->argv.count + start->env.count + count + 2) * sizeof(char *);
    for (const struct text_node *node = start->argv.first; node; node = node->next)
        size += node->text.size + 1;
    for (const struct text_node *node = start->env.first; node; node = node->next)
        size += node->text.size + 2;  // '=' and NUL; the encoding itself takes more than that
    for (size_t i = 0; i < count; i++)
        size += strlen(list[i].key) + strlen(list[i].value) + 2;
    return size;
}

static char *put(char *at, struct text text) {
    if (text.size > 0)
        memcpy(at, text.data, text.size);
    return at + text.size;
}

static char *put_variable(char *at, struct text key, struct text value) {
    at = put(at, key);
    *at++ = '=';
    at = put(at, value);
    *at++ = 0;
    return at;
}

static char *put_argv(struct arguments *arguments, char *at, const StartExec *start) {
    size_t count = 0;
    for (const struct text_node *node = start->argv.first; node; node = node->next) {
        arguments->argv[count++] = at;
        at = put(at, node->text);
        *at++ = 0;
    }
    arguments->argv[count] = NULL;
    return at;
}

static void put_env(struct arguments *arguments, char *at, const StartExec *start, const struct variable *list,
                    size_t list_count) {
    size_t count = 0;
    for (size_t i = 0; i < list_count; i++) {
        if (is_overridden(start, list[i].key))
            continue;
        arguments->envp[count++] = at;
        at = put_variable(at, text_of(list[i].key), text_of(list[i].value));
    }
    for (const struct text_node *node = start->env.first; node; node = node->next) {
        StartExec_EnvEntry entry;
        if (codec_decode_env_entry(&entry, node->text) < 0)
            continue;
        arguments->envp[count++] = at;
        at = put_variable(at, entry.key, entry.value);
    }
    arguments->envp[count] = NULL;
}

static const char *find_path(char *const *envp) {
    const char *path = "";
    for (; *envp; envp++)
        if (strncmp(*envp, "PATH=", 5) == 0)
            path = *envp + 5;
    return path;
}

bool arguments_make(struct arguments *arguments, const StartExec *start, const struct user *user,
                    struct failure *failure) {
    if (!check_argv(start, failure) || !check_env(start, failure))
        return false;
    struct variable list[DEFAULTS_MAX];
    size_t count = defaults(user, start->has_pty, list);
    arguments->block = malloc(block_size(start, list, count));
    if (!arguments->block)
        return fail(failure, Failure_Code_EXHAUSTED, "no memory for the arguments");
    arguments->argv = arguments->block;
    arguments->envp = arguments->argv + start->argv.count + 1;
    char *strings = (char *)(arguments->envp + start->env.count + count + 1);
    strings = put_argv(arguments, strings, start);
    put_env(arguments, strings, start, list, count);
    arguments->path = find_path(arguments->envp);
    return true;
}

void arguments_free(struct arguments *arguments) {
    free(arguments->block);
    arguments->block = NULL;
}
