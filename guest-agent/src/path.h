#ifndef SANDGLASS_PATH_H
#define SANDGLASS_PATH_H

#include "failure.h"

enum { PATH_BYTES_MAX = 4096 };  // with the terminating NUL

// Checks a path of a request: absolute, not too long, without NUL. Slashes at the end are dropped.
bool path_take(struct text path, char *to, struct failure *failure);
// As path_take, for what is made, moved or removed: not "/", and its last part is a name.
bool path_take_entry(struct text path, char *to, struct failure *failure);

// "/" for "/a", "/a" for "/a/b".
void path_parent(const char *path, char *parent);
// Makes the directory and its parents, 0755: 0 or -errno. An existing directory is fine.
int path_make_directories(const char *path);

// Removes a file, or a directory with all it holds: 0 or -errno. Links are not followed, and another file system is
// not entered (-EBUSY). Uses two descriptors however deep the tree is.
int path_remove_tree(const char *path);

#endif
