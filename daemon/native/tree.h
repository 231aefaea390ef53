/* Tree: stacks that were met, from the root, and how often. */
#ifndef EXECD_TREE_H
#define EXECD_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hash.h"

/* What a thread was at. */
enum state { RUNNING_WITH_GIL, RUNNING_WITHOUT, WAITING_WITH_GIL, WAITING_FOR_GIL, WAITING_WITHOUT, STATES };

/* Values of `code` below these are indexes of code objects. `where` is an instruction's offset in bytes; of a thread
 * its number, of a system call its number. */
#define NODE_THREAD 0xFFFFFFFFu
#define NODE_UNSETTLED 0xFFFFFFFEu
#define NODE_SYSTEM_CALL 0xFFFFFFFDu
#define NODE_TOO_DEEP 0xFFFFFFFCu

#define NO_NODE 0xFFFFFFFFu

struct node {
    uint32_t parent, code;
    uint64_t where;
};

/* Nodes stay, in the order in which they came; counts are taken away. */
struct tree {
    struct node *nodes;
    uint32_t (*counts)[STATES];
    uint32_t count, room, limit;
    uint32_t *slots;
    uint32_t slots_count;
    struct hash_key key;
};

#define PATH_NODES 64

/* A node and those above it, the outermost one first. `next`: how many of them have been asked for. */
struct path {
    uint32_t nodes[PATH_NODES];
    size_t count, next;
};

/* A node's counts, as they are handed on. */
struct counted {
    uint32_t node, counts[STATES];
};

bool tree_open(struct tree *tree, uint32_t limit, struct hash_key key);
void tree_close(struct tree *tree);
void tree_path(const struct tree *tree, uint32_t node, struct path *path);
uint32_t tree_child(struct tree *tree, struct path *path, uint32_t parent, uint32_t code, uint64_t where);
uint32_t tree_counted(const struct tree *tree, struct counted *into);
void tree_clear(struct tree *tree);
void tree_give_back(struct tree *tree, const struct counted *from, uint32_t count);

#endif
