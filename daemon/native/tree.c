/* A hash table finds the child of a node; nothing is ever taken out. */
#include "tree.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM 1024

/* Makes an empty tree of at most so many nodes. False without memory. */
bool tree_open(struct tree *tree, uint32_t limit, struct hash_key key)
{
    *tree = (struct tree){.room = FIRST_ROOM, .limit = limit, .slots_count = 2 * FIRST_ROOM, .key = key};
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

static bool is_node(const struct node *node, uint32_t parent, uint32_t code, uint64_t where)
{
    return node->parent == parent && node->code == code && node->where == where;
}

static uint32_t *slot_of(const struct tree *tree, uint32_t parent, uint32_t code, uint64_t where)
{
    uint32_t mask = tree->slots_count - 1, at = hash_of(&tree->key, (uint64_t)parent << 32 | code, where) & mask;
    while (tree->slots[at] && !is_node(&tree->nodes[tree->slots[at] - 1], parent, code, where))
        at = (at + 1) & mask;
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

/* Writes down a node and those above it: none for NO_NODE, and none of a deeper one, for which to go up would take as
 * long as the searches that it spares. */
void tree_path(const struct tree *tree, uint32_t node, struct path *path)
{
    size_t depth = 0;
    for (uint32_t above = node; above != NO_NODE && depth <= PATH_NODES; above = tree->nodes[above].parent)
        depth++;
    path->count = depth <= PATH_NODES ? depth : 0;
    path->next = 0;
    for (size_t at = path->count; at; node = tree->nodes[node].parent)
        path->nodes[--at] = node;
}

/* Returns the child of a node, made where there is none; NO_NODE at the limit. `parent` is NO_NODE for a thread. `path`:
 * where it may be, which spares a search: a stack has most of its nodes in common with the one before. */
uint32_t tree_child(struct tree *tree, struct path *path, uint32_t parent, uint32_t code, uint64_t where)
{
    uint32_t guess = path->next < path->count ? path->nodes[path->next++] : NO_NODE;
    if (guess != NO_NODE && is_node(&tree->nodes[guess], parent, code, where))
        return guess;
    uint32_t *slot = slot_of(tree, parent, code, where);
    if (*slot)
        return *slot - 1;
    if (!grow(tree))
        return NO_NODE;
    tree->nodes[tree->count] = (struct node){parent, code, where};
    *slot_of(tree, parent, code, where) = ++tree->count;
    return tree->count - 1;
}

/* Returns how many nodes have counts that are not 0, and writes them down where `into` is not NULL. */
uint32_t tree_counted(const struct tree *tree, struct counted *into)
{
    uint32_t found = 0;
    for (uint32_t index = 0; index < tree->count; index++) {
        uint32_t any = 0;
        for (int state = 0; state < STATES; state++)
            any |= tree->counts[index][state];
        if (!any)
            continue;
        if (into) {
            into[found].node = index;
            memcpy(into[found].counts, tree->counts[index], sizeof tree->counts[index]);
        }
        found++;
    }
    return found;
}

/* Sets all counts to 0. */
void tree_clear(struct tree *tree)
{
    memset(tree->counts, 0, tree->count * sizeof *tree->counts);
}

/* Adds counts that were taken and could not be handed on. */
void tree_give_back(struct tree *tree, const struct counted *from, uint32_t count)
{
    for (uint32_t index = 0; index < count; index++)
        for (int state = 0; state < STATES; state++)
            tree->counts[from[index].node][state] += from[index].counts[state];
}
