/* A hash table finds the child of a node; nothing is ever taken out. */
#include "tree.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM 1024

/* Makes an empty tree of at most so many nodes. False without memory. */
bool tree_open(struct tree *tree, uint32_t limit)
{
    *tree = (struct tree){.room = FIRST_ROOM, .limit = limit, .slots_count = 2 * FIRST_ROOM};
    tree->nodes = malloc(FIRST_ROOM * sizeof *tree->nodes);
    tree->counts = calloc(FIRST_ROOM, sizeof *tree->counts);
    tree->slots = calloc(tree->slots_count, sizeof *tree->slots);
    return tree->nodes && tree->counts && tree->slots;
}

void tree_close(struct tree *tree)
{
    free(tree->nodes);
    free(tree->counts);
    free(tree->slots);
}

static uint32_t *slot_of(const struct tree *tree, uint32_t parent, uint32_t code, uint64_t where)
{
    uint64_t hash = ((uint64_t)parent << 32 | code) * 0x9E3779B97F4A7C15ull;
    hash = (hash ^ hash >> 29 ^ where) * 0xBF58476D1CE4E5B9ull;
    uint32_t mask = tree->slots_count - 1, at = (uint32_t)(hash >> 32) & mask;
    while (tree->slots[at]) {
        const struct node *node = &tree->nodes[tree->slots[at] - 1];
        if (node->parent == parent && node->code == code && node->where == where)
            break;
        at = (at + 1) & mask;
    }
    return &tree->slots[at];
}

static bool grow(struct tree *tree)
{
    if (tree->count < tree->room)
        return true;
    if (tree->room * 2 > tree->limit)
        return false;
    struct node *nodes = realloc(tree->nodes, 2 * tree->room * sizeof *nodes);
    if (!nodes)
        return false;
    tree->nodes = nodes;
    uint32_t(*counts)[STATES] = realloc(tree->counts, 2 * tree->room * sizeof *counts);
    if (!counts)
        return false;
    tree->counts = counts;
    uint32_t *slots = calloc(2 * tree->slots_count, sizeof *slots);
    if (!slots)
        return false;
    memset(counts + tree->room, 0, tree->room * sizeof *counts);
    free(tree->slots);
    tree->slots = slots;
    tree->slots_count *= 2;
    tree->room *= 2;
    for (uint32_t index = 0; index < tree->count; index++) {
        const struct node *node = &tree->nodes[index];
        *slot_of(tree, node->parent, node->code, node->where) = index + 1;
    }
    return true;
}

/* Returns the child of a node, made where there is none; NO_NODE at the limit. `parent` is NO_NODE for a thread. */
uint32_t tree_child(struct tree *tree, uint32_t parent, uint32_t code, uint64_t where)
{
    uint32_t *slot = slot_of(tree, parent, code, where);
    if (*slot)
        return *slot - 1;
    if (!grow(tree))
        return NO_NODE;
    tree->nodes[tree->count] = (struct node){parent, code, where};
    *slot_of(tree, parent, code, where) = ++tree->count;
    return tree->count - 1;
}
