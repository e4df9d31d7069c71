/* The blocks of Xdebug's cachegrind files: totals by function, calls by line, and the exact call tree, folded.
 *
 * A plain shared library without Python in it, used through ctypes by cachegrind_kernel.py. It does what PythonBlocks
 * and Sums do (cachegrind_blocks.py, cachegrind_sums.py), to the last number; a test compares them. Whatever is no
 * block (headers, summaries, damage) is handed back to Python, which reads it for both.
 *
 * The file is hostile. So: no recursion; every array grows by checked sizes up to the caller's limits; all sums are unsigned
 * and may wrap, because the sum of all absolute values is kept beside them and the result is refused when that does not
 * fit; hash functions are keyed, with a key that the file's author cannot know. After an error the reader is dead.
 */
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define EXPORT __attribute__((visibility("default")))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

#ifndef SOURCE_VERSION
#define SOURCE_VERSION "unknown"
#endif

#define NONE UINT32_MAX
#define PADDING 64    /* zeros behind the text, so that words may be read across its end */
#define NAME_MOST 1024
#define COST_MOST 64
#define ID_DIGITS 6
#define ID_MOST 1000000
#define LINE_DIGITS 9
#define VALUE_DIGITS 18 /* fits into 60 bits */
#define INDEX_FROM 12   /* levels of the tree with more functions get a hash table */
#define FULL (UINT64_C(1) << 63)

enum { DONE = 0, OTHER = 1, NOT_A_BLOCK = 2, BLOCK = 3 };
enum {
    BLOCK_TOO_LARGE = -1, TOO_MANY_FRAMES = -2, TOO_MANY_NAMES = -3, NAMES_TOO_LARGE = -4, TOO_MANY_EDGES = -5,
    TOO_MANY_PENDING = -6, IMPOSSIBLE = -7, NO_MEMORY = -8
};

typedef struct {
    int64_t block_bytes, frames, name_bytes, edges, tree, pending, search;
} Limits;

/* Children of a node, in order of appearance: a list, and for large ones a hash table (a number in `indices`, 0 is none). */
typedef struct {
    uint32_t first, last, count, index;
} Level;

/* All calls of one function along one path. */
typedef struct {
    uint32_t frame, next;
    Level level;
    uint64_t calls;
    uint64_t self[2], inclusive[2];
} Node;

/* A call that has returned and whose caller has not. `total` is itself and what it called. */
typedef struct {
    uint64_t self[2], total[2];
    Level level;
} Finished;

typedef struct {
    uint64_t calls, self[2];
    uint32_t first_edge, last_edge;
    int32_t line; /* -1: unknown */
} Function;

typedef struct {
    uint64_t calls, inclusive[2];
    uint32_t caller, callee, line, next;
} Edge;

typedef struct {
    uint32_t callee, line;
    int64_t value[2];
} Call;

typedef struct {
    uint32_t file, function;
} Frame;

/* What an id of a function stands for, and the frame it had last. */
typedef struct {
    uint32_t name, file, frame;
} Id;

/* `list`: the numbers that are defined, so that forgetting them costs no more than defining them did. */
typedef struct {
    Id *ids;
    uint32_t *list;
    size_t room, list_room, defined;
} Ids;

/* Open addressing over entries kept elsewhere: a slot is the upper half of the hash and the entry's number + 1. */
typedef struct {
    uint64_t *slots;
    size_t mask, used; /* mask 0: nothing allocated */
    unsigned shift;    /* the upper bits of a hash are the place */
} Table;

typedef struct {
    uint32_t mask;
    uint32_t slots[];
} Index;

typedef struct {
    uint32_t into;
    Level level;
} Merge;

typedef struct {
    double share;
    uint64_t number;
    uint32_t node;
    int64_t parent;
} Candidate;

typedef struct {
    int64_t frames, functions, edges, tree;
    int64_t tree_size; /* -1: given up */
    int64_t unmatched;
    uint64_t size[2]; /* sums of absolute values; 2^63: that or more */
    const uint32_t *frame_names; /* file, function: numbers of names */
    int64_t names;
    const uint64_t *name_ends;
    const uint8_t *name_bytes;
    const int64_t *function_columns; /* frame, line, calls, self 1 and 2, inclusive 1 and 2: one column after the other */
    const int64_t *edge_columns;     /* caller, callee, line, calls, inclusive 1 and 2 */
    const int64_t *tree_columns;     /* frame, parent, calls, self 1 and 2, inclusive 1 and 2 */
} Result;

typedef struct {
    Limits limits;
    int columns, dead;
    uint64_t key[2], multiplier[3];

    uint8_t *text;
    size_t text_room, text_used, position, limit;
    const uint8_t *piece;
    size_t piece_size;

    uint8_t *name_bytes;
    uint64_t *name_ends;
    size_t name_bytes_room, name_bytes_used, name_ends_room, names;
    uint64_t framed_bytes;
    Table name_table;
    Ids files, functions_by_id;

    Frame *frames;
    Function *functions; /* by frame, like `seen` */
    uint64_t *seen;      /* stamp << 32 | node: where a frame is in the level that is being made */
    size_t frames_room, functions_room, seen_room, frame_count;
    Table frame_table;
    uint32_t stamp;
    uint32_t *order; /* frames in the order of their first blocks */
    size_t order_room, order_count;

    Edge *edges;
    size_t edges_room, edge_count;
    Table edge_table;

    Call *calls;
    uint32_t *called, *taken;
    size_t calls_room, called_room, taken_room, call_count;

    uint32_t *pending;
    Finished *finished;
    size_t pending_room, finished_room, pending_count;

    Node *nodes;
    size_t nodes_room, node_count; /* node 0 is none */
    uint32_t free_node;
    int64_t tree_size;
    bool with_tree;
    Level roots;
    Index **indices;
    size_t indices_room, index_count;
    uint32_t *free_indices;
    size_t free_indices_room, free_index_count;
    Merge *merges;
    size_t merges_room;

    int64_t unmatched, searched;
    uint64_t size[2];

    int64_t *output[3];
    Result result;
} Reader;

/* --- memory ---------------------------------------------------------------------------------------------------------- */

/* Room for `need` items; false without memory. */
static bool grow(void **array, size_t *room, size_t need, size_t item) {
    size_t more = *room + *room / 2;
    if (more < need) more = need;
    if (more < 16) more = 16;
    size_t bytes;
    if (__builtin_mul_overflow(more, item, &bytes)) return false;
    void *moved = realloc(*array, bytes);
    if (!moved) return false;
    *array = moved;
    *room = more;
    return true;
}

#define RESERVE(array, room, need) \
    (LIKELY((need) <= (room)) || grow((void **)&(array), &(room), (need), sizeof *(array)))

/* --- hashing --------------------------------------------------------------------------------------------------------- */

static inline uint64_t hash_numbers(const Reader *r, uint32_t a, uint32_t b, uint32_t c) {
    return a * r->multiplier[0] + b * r->multiplier[1] + c * r->multiplier[2];
}

#define ROTATED(x, b) (((x) << (b)) | ((x) >> (64 - (b))))
#define SIP_ROUND                                                                                    \
    do {                                                                                             \
        v0 += v1; v1 = ROTATED(v1, 13) ^ v0; v0 = ROTATED(v0, 32); v2 += v3; v3 = ROTATED(v3, 16) ^ v2; \
        v0 += v3; v3 = ROTATED(v3, 21) ^ v0; v2 += v1; v1 = ROTATED(v1, 17) ^ v2; v2 = ROTATED(v2, 32); \
    } while (0)

static inline uint64_t word_at(const uint8_t *p) {
    uint64_t word;
    memcpy(&word, p, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

/* SipHash-1-3 (Aumasson and Bernstein). */
static uint64_t hash_text(const Reader *r, const uint8_t *p, size_t n) {
    uint64_t v0 = r->key[0] ^ UINT64_C(0x736f6d6570736575), v1 = r->key[1] ^ UINT64_C(0x646f72616e646f6d);
    uint64_t v2 = r->key[0] ^ UINT64_C(0x6c7967656e657261), v3 = r->key[1] ^ UINT64_C(0x7465646279746573);
    uint64_t last = (uint64_t)n << 56;
    for (; n >= 8; p += 8, n -= 8) {
        uint64_t m = word_at(p);
        v3 ^= m;
        SIP_ROUND;
        v0 ^= m;
    }
    for (size_t i = 0; i < n; i++) last |= (uint64_t)p[i] << (8 * i);
    v3 ^= last;
    SIP_ROUND;
    v0 ^= last;
    v2 ^= 0xff;
    SIP_ROUND;
    SIP_ROUND;
    SIP_ROUND;
    return v0 ^ v1 ^ v2 ^ v3;
}

#define TAG(hash) ((hash) >> 32 << 32)

static bool table_grow(Table *t) {
    size_t size = t->mask ? (t->mask + 1) * 2 : 1024;
    unsigned shift = t->mask ? t->shift - 1 : 54;
    uint64_t *slots = calloc(size, sizeof *slots);
    if (!slots) return false;
    for (size_t i = 0; t->mask && i <= t->mask; i++) {
        uint64_t slot = t->slots[i];
        if (!slot) continue;
        size_t at = (slot >> 32 << 32) >> shift;
        while (slots[at]) at = (at + 1) & (size - 1);
        slots[at] = slot;
    }
    free(t->slots);
    t->slots = slots;
    t->mask = size - 1;
    t->shift = shift;
    return true;
}

/* Room for one entry more. */
static inline bool table_reserve(Table *t) { return LIKELY(t->used * 2 < t->mask) || table_grow(t); }

#define TABLE_START(t, hash) ((hash) >> (t)->shift)

static void table_put(Table *t, size_t at, uint64_t hash, size_t number) {
    t->slots[at] = TAG(hash) | (uint32_t)(number + 1);
    t->used++;
}

/* --- names and frames ------------------------------------------------------------------------------------------------ */

static inline uint64_t name_start(const Reader *r, size_t name) { return name ? r->name_ends[name - 1] : 0; }

/* The number of a name, which is cut; equal names have one number. */
static int name_number(Reader *r, const uint8_t *p, size_t n, uint32_t *number) {
    if (n > NAME_MOST) n = NAME_MOST;
    if (!table_reserve(&r->name_table)) return NO_MEMORY;
    uint64_t hash = hash_text(r, p, n), slot;
    size_t at = TABLE_START(&r->name_table, hash);
    for (; (slot = r->name_table.slots[at]); at = (at + 1) & r->name_table.mask) {
        size_t found = (uint32_t)slot - 1;
        uint64_t start = name_start(r, found);
        if (TAG(slot) == TAG(hash) && r->name_ends[found] - start == n && !memcmp(r->name_bytes + start, p, n)) {
            *number = (uint32_t)found;
            return BLOCK;
        }
    }
    if (!RESERVE(r->name_bytes, r->name_bytes_room, r->name_bytes_used + n + 1)) return NO_MEMORY;
    if (!RESERVE(r->name_ends, r->name_ends_room, r->names + 1)) return NO_MEMORY;
    memcpy(r->name_bytes + r->name_bytes_used, p, n);
    r->name_bytes_used += n;
    r->name_ends[r->names] = r->name_bytes_used;
    table_put(&r->name_table, at, hash, r->names);
    *number = (uint32_t)r->names++;
    return BLOCK;
}

/* NONE when there is no such frame yet. */
static uint32_t find_frame(const Reader *r, uint32_t file, uint32_t function) {
    const Table *t = &r->frame_table;
    uint64_t slot;
    if (!t->mask) return NONE;
    for (size_t at = TABLE_START(t, hash_numbers(r, file, function, 0)); (slot = t->slots[at]); at = (at + 1) & t->mask) {
        uint32_t found = (uint32_t)slot - 1;
        if (r->frames[found].file == file && r->frames[found].function == function) return found;
    }
    return NONE;
}

static int frame_of(Reader *r, uint32_t file, uint32_t function, uint32_t *number) {
    *number = find_frame(r, file, function);
    if (*number != NONE) return BLOCK;
    size_t count = r->frame_count;
    if ((int64_t)count >= r->limits.frames) return TOO_MANY_FRAMES;
    r->framed_bytes += r->name_ends[file] - name_start(r, file) + r->name_ends[function] - name_start(r, function);
    if (r->framed_bytes > (uint64_t)r->limits.name_bytes) return NAMES_TOO_LARGE;
    if (!RESERVE(r->frames, r->frames_room, count + 1) || !RESERVE(r->functions, r->functions_room, count + 1) ||
        !RESERVE(r->seen, r->seen_room, count + 1))
        return NO_MEMORY;
    r->frames[count] = (Frame){file, function};
    r->functions[count] = (Function){.first_edge = NONE, .last_edge = NONE, .line = -1};
    r->seen[count] = 0;
    if (!table_reserve(&r->frame_table)) return NO_MEMORY;
    uint64_t hash = hash_numbers(r, file, function, 0);
    size_t at = TABLE_START(&r->frame_table, hash);
    while (r->frame_table.slots[at]) at = (at + 1) & r->frame_table.mask;
    table_put(&r->frame_table, at, hash, count);
    *number = (uint32_t)count;
    r->frame_count++;
    return BLOCK;
}

/* The name a reference stands for: `name`, `(id)`, or `(id) name`, which defines the id. */
static int name_of(Reader *r, Ids *ids, const uint8_t *p, size_t n, uint32_t *name) {
    if (!n || *p != '(') return name_number(r, p, n, name);
    size_t digits = 0;
    uint32_t id = 0;
    while (digits + 1 < n && digits <= ID_DIGITS && p[digits + 1] >= '0' && p[digits + 1] <= '9')
        id = id * 10 + (p[++digits] - '0');
    if (!digits || digits > ID_DIGITS || digits + 1 >= n || p[digits + 1] != ')') return NOT_A_BLOCK;
    p += digits + 2;
    n -= digits + 2;
    if (!n) {
        if (id >= ids->room || ids->ids[id].name == NONE) return NOT_A_BLOCK;
        *name = ids->ids[id].name;
        return BLOCK;
    }
    if (*p != ' ') return NOT_A_BLOCK;
    if ((int64_t)ids->defined >= r->limits.frames) return TOO_MANY_NAMES;
    int status = name_number(r, p + 1, n - 1, name);
    if (status != BLOCK) return status;
    if (id >= ids->room) {
        size_t before = ids->room;
        if (!RESERVE(ids->ids, ids->room, (size_t)id + 1)) return NO_MEMORY;
        for (size_t i = before; i < ids->room; i++) ids->ids[i].name = NONE;
    }
    if (ids->ids[id].name == NONE) {
        if (!RESERVE(ids->list, ids->list_room, ids->defined + 1)) return NO_MEMORY;
        ids->list[ids->defined++] = id;
    }
    ids->ids[id] = (Id){*name, NONE, NONE};
    return BLOCK;
}

static int resolve(Reader *r, const uint8_t *file, size_t file_size, const uint8_t *function, size_t size, uint32_t *frame) {
    uint32_t file_name, function_name;
    int status = name_of(r, &r->files, file, file_size, &file_name);
    if (status == BLOCK) status = name_of(r, &r->functions_by_id, function, size, &function_name);
    return status == BLOCK ? frame_of(r, file_name, function_name, frame) : status;
}

static void forget(Ids *ids) {
    while (ids->defined) ids->ids[ids->list[--ids->defined]].name = NONE;
}

/* --- the tree -------------------------------------------------------------------------------------------------------- */

static uint32_t new_node(Reader *r) {
    uint32_t number = r->free_node;
    if (number) {
        r->free_node = r->nodes[number].next;
    } else {
        if (!r->node_count) r->node_count = 1;
        if (!RESERVE(r->nodes, r->nodes_room, r->node_count + 1)) return 0;
        number = (uint32_t)r->node_count++;
    }
    r->tree_size++;
    return number;
}

static void free_node(Reader *r, uint32_t number) {
    r->nodes[number].next = r->free_node;
    r->free_node = number;
    r->tree_size--;
}

static void free_index(Reader *r, uint32_t number) {
    if (!number) return;
    free(r->indices[number]);
    r->indices[number] = NULL;
    r->free_indices[r->free_index_count++] = number; /* room was made when it was given out */
}

static uint32_t index_start(const Reader *r, uint32_t frame, uint32_t mask) {
    return (uint32_t)((frame * r->multiplier[0]) >> 32) & mask;
}

static void index_put(Reader *r, Index *index, uint32_t node) {
    uint32_t at = index_start(r, r->nodes[node].frame, index->mask);
    while (index->slots[at]) at = (at + 1) & index->mask;
    index->slots[at] = node;
}

/* A hash table for a level, at most a quarter full. */
static bool make_index(Reader *r, Level *level) {
    uint32_t size = 64;
    while (size / 4 < level->count) size *= 2;
    Index *index = calloc(1, sizeof *index + size * sizeof index->slots[0]);
    if (!index) return false;
    index->mask = size - 1;
    for (uint32_t node = level->first; node; node = r->nodes[node].next) index_put(r, index, node);
    if (!level->index) {
        if (r->free_index_count) {
            level->index = r->free_indices[--r->free_index_count];
        } else {
            if (!r->index_count) r->index_count = 1;
            if (!RESERVE(r->indices, r->indices_room, r->index_count + 1) ||
                !RESERVE(r->free_indices, r->free_indices_room, r->index_count + 1)) {
                free(index);
                return false;
            }
            level->index = (uint32_t)r->index_count++;
            r->indices[level->index] = NULL;
        }
    }
    free(r->indices[level->index]);
    r->indices[level->index] = index;
    return true;
}

/* The node of a frame in a level, 0 when it is not there. Large levels have been indexed before. */
static inline uint32_t find(const Reader *r, const Level *level, uint32_t frame) {
    if (level->index) {
        const Index *index = r->indices[level->index];
        uint32_t at = index_start(r, frame, index->mask), node;
        while ((node = index->slots[at]) && r->nodes[node].frame != frame) at = (at + 1) & index->mask;
        return node;
    }
    uint32_t node = level->first;
    while (node && r->nodes[node].frame != frame) node = r->nodes[node].next;
    return node;
}

/* Put a node at the end of a level. */
static bool append(Reader *r, Level *level, uint32_t node) {
    r->nodes[node].next = 0;
    if (level->last)
        r->nodes[level->last].next = node;
    else
        level->first = node;
    level->last = node;
    level->count++;
    if (level->index) {
        if (level->count > (r->indices[level->index]->mask + 1) / 2) return make_index(r, level);
        index_put(r, r->indices[level->index], node);
    }
    return true;
}

/* Fold a level, which is used up, into the children of a node. */
static bool merge(Reader *r, uint32_t into, Level other) {
    size_t todo = 0;
    if (!RESERVE(r->merges, r->merges_room, 1)) return false;
    r->merges[todo++] = (Merge){into, other};
    Node *nodes = r->nodes; /* none is made in here */
    while (todo) {
        Merge now = r->merges[--todo];
        Level *level = &nodes[now.into].level;
        if (!level->first) {
            *level = now.level;
            continue;
        }
        if (!level->index && level->count > INDEX_FROM && !make_index(r, level)) return false;
        for (uint32_t node = now.level.first, next; node; node = next) {
            next = nodes[node].next;
            uint32_t there = find(r, level, nodes[node].frame);
            if (!there) {
                if (!append(r, level, node)) return false;
                if (!level->index && level->count > INDEX_FROM && !make_index(r, level)) return false;
                continue;
            }
            Node *a = &nodes[there], *b = &nodes[node];
            a->calls += b->calls;
            a->self[0] += b->self[0];
            a->self[1] += b->self[1];
            a->inclusive[0] += b->inclusive[0];
            a->inclusive[1] += b->inclusive[1];
            if (b->level.first) {
                if (!a->level.first) {
                    a->level = b->level;
                } else {
                    if (!RESERVE(r->merges, r->merges_room, todo + 1)) return false;
                    r->merges[todo++] = (Merge){there, b->level};
                }
            }
            free_node(r, node);
        }
        free_index(r, now.level.index);
    }
    return true;
}

static inline void node_fill(Node *node, uint32_t frame, const uint64_t *self, uint64_t inclusive_0, uint64_t inclusive_1, Level level) {
    *node = (Node){frame, 0, level, 1, {self[0], self[1]}, {inclusive_0, inclusive_1}};
}

static inline void node_add(Node *node, const uint64_t *self, uint64_t inclusive_0, uint64_t inclusive_1) {
    node->calls++;
    node->self[0] += self[0];
    node->self[1] += self[1];
    node->inclusive[0] += inclusive_0;
    node->inclusive[1] += inclusive_1;
}

static void drop_nodes(Reader *r) {
    free(r->nodes);
    r->nodes = NULL;
    r->nodes_room = r->node_count = 0;
    r->free_node = 0;
    for (size_t i = 1; i < r->index_count; i++) free(r->indices[i]);
    r->index_count = r->free_index_count = 0;
}

/* Too many different paths: what is left are the roots. */
static bool give_the_tree_up(Reader *r) {
    r->with_tree = false;
    for (size_t i = 0; i < r->pending_count; i++) r->finished[i].level = (Level){0};
    size_t count = r->roots.count, i = 0;
    Node *roots = malloc((count + 1) * sizeof *roots);
    if (!roots) return false;
    for (uint32_t node = r->roots.first; node; node = r->nodes[node].next) roots[i++] = r->nodes[node];
    drop_nodes(r);
    r->roots = (Level){0};
    for (i = 0; i < count; i++) {
        uint32_t node = new_node(r);
        if (!node) break;
        roots[i].level = (Level){0};
        r->nodes[node] = roots[i];
        if (!append(r, &r->roots, node)) break;
    }
    free(roots);
    return i == count;
}

/* Whatever nobody has taken is a root. */
static int close_segment(Reader *r) {
    for (size_t i = 0; i < r->pending_count; i++) {
        Finished *f = &r->finished[i];
        if (!r->roots.index && r->roots.count > INDEX_FROM && !make_index(r, &r->roots)) return NO_MEMORY;
        uint32_t node = find(r, &r->roots, r->pending[i]);
        if (!node) {
            node = new_node(r);
            if (!node) return NO_MEMORY;
            node_fill(&r->nodes[node], r->pending[i], f->self, f->total[0], f->total[1], f->level);
            if (!append(r, &r->roots, node)) return NO_MEMORY;
        } else {
            node_add(&r->nodes[node], f->self, f->total[0], f->total[1]);
            if (f->level.first && !merge(r, node, f->level)) return NO_MEMORY;
        }
        f->level = (Level){0};
    }
    r->pending_count = 0;
    return BLOCK;
}

/* --- one block ------------------------------------------------------------------------------------------------------- */

static inline void measure(uint64_t *size, int64_t value) {
    *size += value < 0 ? (uint64_t)-value : (uint64_t)value; /* below 2^63 + 2^60 */
    *size = *size >= FULL ? FULL : *size;
}

/* Find the finished calls when they are not simply the last ones: from the last call backwards, the nearest of its name. */
static void search(Reader *r) {
    size_t below = r->pending_count, left = r->pending_count, lowest = r->pending_count;
    for (size_t i = r->call_count; i-- > 0;) {
        size_t end = below; /* one above the place that is looked at */
        while (end > 0 && r->pending[end - 1] != r->called[i] && r->searched < r->limits.search) {
            end--;
            r->searched++;
        }
        if (end == 0 || r->pending[end - 1] != r->called[i]) {
            r->unmatched++;
            r->taken[i] = NONE;
            continue;
        }
        r->searched += (int64_t)((left - (end - 1)) >> 6);
        left--;
        r->taken[i] = (uint32_t)(end - 1);
        below = lowest = end - 1;
    }
}

/* Close the gaps where `search` has found something. */
static void compact(Reader *r) {
    size_t to = r->pending_count, next = 0;
    for (; next < r->call_count; next++)
        if (r->taken[next] != NONE) {
            to = r->taken[next];
            break;
        }
    for (size_t from = to; from < r->pending_count; from++) {
        while (next < r->call_count && r->taken[next] == NONE) next++;
        if (next < r->call_count && r->taken[next] == from) {
            next++;
            continue;
        }
        r->pending[to] = r->pending[from];
        r->finished[to++] = r->finished[from];
    }
    r->pending_count = to;
}

/* `hash` is that of the edge. */
static int new_edge(Reader *r, uint32_t caller, const Call *call, uint64_t hash) {
    Table *t = &r->edge_table;
    uint32_t number = (uint32_t)r->edge_count;
    if ((int64_t)r->edge_count >= r->limits.edges) return TOO_MANY_EDGES;
    if (!RESERVE(r->edges, r->edges_room, r->edge_count + 1)) return NO_MEMORY;
    r->edges[r->edge_count++] = (Edge){
        1, {(uint64_t)call->value[0], (uint64_t)call->value[1]}, caller, call->callee, call->line, NONE};
    Function *f = &r->functions[caller];
    if (f->last_edge == NONE)
        f->first_edge = number;
    else
        r->edges[f->last_edge].next = number;
    f->last_edge = number;
    if (!table_reserve(t)) return NO_MEMORY;
    size_t at = TABLE_START(t, hash);
    while (t->slots[at]) at = (at + 1) & t->mask;
    table_put(t, at, hash, number);
    return BLOCK;
}

static inline int count_call(Reader *r, uint32_t caller, const Call *call, uint64_t hash) {
    const Table *t = &r->edge_table;
    uint64_t slot;
    if (UNLIKELY(!t->mask)) return new_edge(r, caller, call, hash);
    for (size_t at = TABLE_START(t, hash); (slot = t->slots[at]); at = (at + 1) & t->mask) {
        Edge *e = &r->edges[(uint32_t)slot - 1];
        if (TAG(slot) == TAG(hash) && e->caller == caller && e->callee == call->callee && e->line == call->line) {
            e->calls++;
            e->inclusive[0] += (uint64_t)call->value[0];
            e->inclusive[1] += (uint64_t)call->value[1];
            return BLOCK;
        }
    }
    return new_edge(r, caller, call, hash);
}

/* Make a level of the tree of the calls that the block has made. */
static bool make_level(Reader *r, const Finished *last, Level *level) {
    if (UNLIKELY(++r->stamp == 0)) { /* after 2^32 blocks the stamps start again */
        memset(r->seen, 0, r->frame_count * sizeof *r->seen);
        r->stamp = 1;
    }
    for (size_t i = 0; i < r->call_count; i++) {
        const Call *call = &r->calls[i];
        const Finished *f = last ? &last[i] : r->taken[i] == NONE ? NULL : &r->finished[r->taken[i]];
        uint64_t value[2] = {(uint64_t)call->value[0], (uint64_t)call->value[1]};
        /* Without a block of its own a call has spent its time nobody knows where. */
        const uint64_t *self = f ? f->self : value;
        uint64_t *seen = &r->seen[call->callee];
        if (*seen >> 32 == r->stamp) {
            uint32_t node = (uint32_t)*seen;
            node_add(&r->nodes[node], self, value[0], value[1]);
            if (f && f->level.first) {
                Level *there = &r->nodes[node].level;
                if (!there->first)
                    *there = f->level;
                else if (!merge(r, node, f->level))
                    return false;
            }
            continue;
        }
        uint32_t node = new_node(r);
        if (!node) return false;
        node_fill(&r->nodes[node], call->callee, self, value[0], value[1], f ? f->level : (Level){0});
        append(r, level, node);
        *seen = (uint64_t)r->stamp << 32 | node;
    }
    return true;
}

/* Add a block whose calls are in `calls` and `called`. */
static int add(Reader *r, uint32_t frame, int32_t line, const int64_t *self) {
    Function *f = &r->functions[frame];
    if (!f->calls) {
        if (!RESERVE(r->order, r->order_room, r->order_count + 1)) return NO_MEMORY;
        r->order[r->order_count++] = frame;
        f->line = line;
    }
    f->calls++;
    Finished done = {.self = {(uint64_t)self[0], (uint64_t)self[1]}};
    for (int i = 0; i < 2; i++) {
        f->self[i] += done.self[i];
        done.total[i] = done.self[i];
        measure(&r->size[i], self[i]);
    }
    size_t count = r->call_count;
    if (count) {
        const uint64_t of_frame = hash_numbers(r, frame, 0, 0), of_callee = r->multiplier[1], of_line = r->multiplier[2];
        uint64_t size[2] = {r->size[0], r->size[1]};
        for (const Call *call = r->calls, *end = call + count; call < end; call++) {
            int status = count_call(r, frame, call, of_frame + call->callee * of_callee + call->line * of_line);
            if (UNLIKELY(status != BLOCK)) return status;
            for (int i = 0; i < 2; i++) {
                measure(&size[i], call->value[i]);
                done.total[i] += (uint64_t)call->value[i];
            }
        }
        r->size[0] = size[0];
        r->size[1] = size[1];
        size_t rest = r->pending_count - count;
        if (LIKELY(r->pending_count >= count && !memcmp(r->pending + rest, r->called, count * sizeof *r->called))) {
            if (r->with_tree && !make_level(r, r->finished + rest, &done.level)) return NO_MEMORY;
            r->pending_count = rest;
        } else {
            if (!RESERVE(r->taken, r->taken_room, count)) return NO_MEMORY;
            search(r);
            if (r->with_tree && !make_level(r, NULL, &done.level)) return NO_MEMORY;
            compact(r);
        }
    }
    if (!RESERVE(r->pending, r->pending_room, r->pending_count + 1) ||
        !RESERVE(r->finished, r->finished_room, r->pending_count + 1))
        return NO_MEMORY;
    r->pending[r->pending_count] = frame;
    r->finished[r->pending_count++] = done;
    if (UNLIKELY(r->with_tree && r->tree_size > r->limits.tree) && !give_the_tree_up(r)) return NO_MEMORY;
    return (int64_t)r->pending_count > r->limits.pending ? TOO_MANY_PENDING : BLOCK;
}

static inline bool next_call(Reader *r) {
    return RESERVE(r->calls, r->calls_room, r->call_count + 1) && RESERVE(r->called, r->called_room, r->call_count + 1);
}

/* --- the text, as Xdebug writes it nearly always --------------------------------------------------------------------- */

/* How many of the 8 bytes, from the first on, are digits. */
static inline unsigned digits_in(uint64_t word) {
    const uint64_t high = UINT64_C(0xF0F0F0F0F0F0F0F0), zeros = UINT64_C(0x3030303030303030);
    uint64_t other = ((word & high) ^ zeros) | (((word + UINT64_C(0x0606060606060606)) & high) ^ zeros);
    return other ? (unsigned)__builtin_ctzll(other) >> 3 : 8;
}

/* The number that the first `count` (1 to 8) bytes are. */
static inline uint64_t number_in(uint64_t word, unsigned count) {
    word = (word << (64 - 8 * count)) & UINT64_C(0x0F0F0F0F0F0F0F0F);
    word = (word * 2561) >> 8 & UINT64_C(0x00FF00FF00FF00FF);
    word = (word * 6553601) >> 16 & UINT64_C(0x0000FFFF0000FFFF);
    return (word * UINT64_C(42949672960001)) >> 32;
}

/* Digits at *at, at most `most`; false when there are none or more. */
static inline bool digits(const uint8_t **at, unsigned most, uint64_t *value) {
    uint64_t word = word_at(*at);
    unsigned count = digits_in(word);
    if (UNLIKELY(!count)) return false;
    *value = number_in(word, count);
    *at += count;
    if (LIKELY(count < 8)) return count <= most;
    for (; **at >= '0' && **at <= '9'; ++*at) {
        if (++count > most) return false;
        *value = *value * 10 + (**at - '0');
    }
    return count <= most;
}

/* The same for at most 6 digits, which are nearly always at most 4. */
static inline bool short_digits(const uint8_t **at, uint64_t *value) {
    uint32_t word = (uint32_t)word_at(*at);
    uint32_t other = ((word & 0xF0F0F0F0) ^ 0x30303030) | (((word + 0x06060606) & 0xF0F0F0F0) ^ 0x30303030);
    if (UNLIKELY(!other)) {
        if ((*at)[4] != ')') return digits(at, ID_DIGITS, value);
        other = 0;
    }
    unsigned count = other ? (unsigned)__builtin_ctz(other) >> 3 : 4;
    if (UNLIKELY(!count)) return false;
    word = (word << (32 - 8 * count)) & 0x0F0F0F0F;
    word = (word * 2561) >> 8 & 0x00FF00FF;
    *value = (word * 6553601) >> 16;
    *at += count;
    return true;
}

static inline bool value_of(const uint8_t **at, int64_t *value) {
    bool negative = **at == '-';
    *at += negative;
    uint64_t size;
    if (UNLIKELY(!digits(at, VALUE_DIGITS, &size))) return false;
    *value = negative ? -(int64_t)size : (int64_t)size;
    return true;
}

#define EXPECT(at, literal) (!memcmp(*(at), (literal), sizeof(literal) - 1) ? (*(at) += sizeof(literal) - 1, true) : false)

/* `id)`, more of the line and of the next one, `id)` and a newline, for a frame that is known. */
static inline bool known_frame(Reader *r, const uint8_t **at, bool callee, uint32_t *frame) {
    uint64_t file, function;
    if (UNLIKELY(!short_digits(at, &file) || file >= r->files.room)) return false;
    if (UNLIKELY(callee ? !EXPECT(at, ")\ncfn=(") : !EXPECT(at, ")\nfn=("))) return false;
    if (UNLIKELY(!short_digits(at, &function) || function >= r->functions_by_id.room)) return false;
    if (UNLIKELY(!EXPECT(at, ")\n"))) return false;
    Id *id = &r->functions_by_id.ids[function];
    uint32_t name = r->files.ids[file].name;
    if (UNLIKELY(name == NONE || id->name == NONE)) return false;
    if (UNLIKELY(id->file != name)) {
        uint32_t found = find_frame(r, name, id->name);
        if (found == NONE) return false;
        id->file = name;
        id->frame = found;
    }
    *frame = id->frame;
    return true;
}

static inline bool plain_cost(const uint8_t **at, bool two, uint32_t *line, int64_t *value) {
#ifdef __SSE2__
    /* All of a line of at most 15 characters at once: where the numbers end. */
    const uint8_t *p = *at;
    const __m128i distance = _mm_sub_epi8(_mm_loadu_si128((const __m128i *)p), _mm_set1_epi8('0'));
    const __m128i other = _mm_cmpeq_epi8(_mm_max_epu8(distance, _mm_set1_epi8(10)), distance);
    unsigned ends = (unsigned)_mm_movemask_epi8(other);
    unsigned first = ends ? (unsigned)__builtin_ctz(ends) : 0;
    ends &= ends - 1;
    unsigned second = ends ? (unsigned)__builtin_ctz(ends) : 0;
    ends &= ends - 1;
    if (LIKELY(two && ends)) {
        unsigned third = (unsigned)__builtin_ctz(ends), a = first, b = second - first - 1, c = third - second - 1;
        if (LIKELY(a - 1 < 8 && b - 1 < 8 && c - 1 < 8 && p[first] == ' ' && p[second] == ' ' && p[third] == '\n')) {
            *line = (uint32_t)number_in(word_at(p), a);
            value[0] = (int64_t)number_in(word_at(p + first + 1), b);
            value[1] = (int64_t)number_in(word_at(p + second + 1), c);
            *at = p + third + 1;
            return true;
        }
    }
#endif
    uint64_t where;
    if (UNLIKELY(!digits(at, LINE_DIGITS, &where) || *(*at)++ != ' ' || !value_of(at, &value[0]))) return false;
    value[1] = 0;
    if (two && UNLIKELY(*(*at)++ != ' ' || !value_of(at, &value[1]))) return false;
    *line = (uint32_t)where;
    return LIKELY(*(*at)++ == '\n');
}

/* A block of known frames at *at, where a paragraph ends for sure. NOT_A_BLOCK: nothing has happened, look closely. */
static int fast_block(Reader *r, const uint8_t **at) {
    const uint8_t *p = *at;
    const bool two = r->columns == 2;
    uint32_t frame, line;
    int64_t self[2];
    if (UNLIKELY(!EXPECT(&p, "fl=(") || !r->columns)) return NOT_A_BLOCK;
    if (UNLIKELY(!known_frame(r, &p, false, &frame) || !plain_cost(&p, two, &line, self))) return NOT_A_BLOCK;
    r->call_count = 0;
    while (*p != '\n') {
        if (UNLIKELY(!next_call(r))) return NO_MEMORY;
        Call *call = &r->calls[r->call_count];
        if (UNLIKELY(!EXPECT(&p, "cfl=(") || !known_frame(r, &p, true, &call->callee))) return NOT_A_BLOCK;
        if (UNLIKELY(!EXPECT(&p, "calls=1 0 0\n") || !plain_cost(&p, two, &call->line, call->value))) return NOT_A_BLOCK;
        r->called[r->call_count++] = call->callee;
    }
    *at = p + 1;
    return add(r, frame, (int32_t)line, self);
}

/* --- the text, whatever it is ---------------------------------------------------------------------------------------- */

typedef struct {
    const uint8_t *start;
    size_t size;
    bool ended; /* by a newline, so that something follows */
} Line;

static Line line_at(const uint8_t *p, const uint8_t *end) {
    const uint8_t *newline = p < end ? memchr(p, '\n', (size_t)(end - p)) : NULL;
    return (Line){p, (size_t)((newline ? newline : end) - p), newline != NULL};
}

static const uint8_t *after(Line line) { return line.start + line.size + line.ended; }

static bool starts(Line line, const char *with) {
    size_t size = strlen(with);
    return line.size >= size && !memcmp(line.start, with, size);
}

static bool is_calls(Line line) { return line.ended && line.size == 11 && starts(line, "calls=1 0 0"); }

/* A value is 1 to 18 digits with or without a minus. */
static int token_value(const uint8_t *p, const uint8_t *end, int64_t *value) {
    bool negative = p < end && *p == '-';
    p += negative;
    const uint8_t *first = p;
    uint64_t size = 0;
    for (; p < end && *p >= '0' && *p <= '9'; p++)
        if (p - first < VALUE_DIGITS) size = size * 10 + (*p - '0');
    if (p == first || p != end) return NOT_A_BLOCK;
    if (p - first > VALUE_DIGITS) return IMPOSSIBLE;
    *value = negative ? -(int64_t)size : (int64_t)size;
    return BLOCK;
}

static const uint8_t *token_end(const uint8_t *p, const uint8_t *end) {
    const uint8_t *space = p < end ? memchr(p, ' ', (size_t)(end - p)) : NULL;
    return space ? space : end;
}

/* Line, or -1 when that is no line, and values; what follows them is ignored. */
static int cost(const Reader *r, Line text, int32_t *line, int64_t *value) {
    if (text.size > COST_MOST || !r->columns) return NOT_A_BLOCK;
    const uint8_t *p = text.start, *end = text.start + text.size, *stop = token_end(p, end);
    bool good = stop > p && stop - p <= LINE_DIGITS;
    *line = 0;
    for (; p < stop && good; p++) {
        good = *p >= '0' && *p <= '9';
        if (good) *line = *line * 10 + (*p - '0');
    }
    if (!good) *line = -1;
    int tokens = 0;
    for (const uint8_t *s = text.start; s < end; s++) tokens += *s == ' ';
    if (tokens < r->columns) return NOT_A_BLOCK;
    value[1] = 0;
    for (int i = 0; i < r->columns; i++) {
        const uint8_t *begin = stop + 1;
        stop = token_end(begin, end);
        int status = token_value(begin, stop, &value[i]);
        if (status != BLOCK) return status;
    }
    return BLOCK;
}

/* A paragraph that begins with "fl=". Names are defined as far as the paragraph goes, even when it turns out to be no block. */
static int block(Reader *r, const uint8_t *p, size_t size) {
    const uint8_t *end = p + size;
    uint32_t frame;
    int32_t line;
    int64_t self[2];
    Line file = line_at(p, end), function, own, next;
    if (!file.ended || !starts(function = line_at(after(file), end), "fn=") || !function.ended) return NOT_A_BLOCK;
    own = line_at(after(function), end);
    if (starts(own, "cfl=") || is_calls(own)) return NOT_A_BLOCK;
    next = line_at(after(own), end);
    if (own.ended && !starts(next, "cfl=") && !is_calls(next)) return NOT_A_BLOCK;
    int status = resolve(r, file.start + 3, file.size - 3, function.start + 3, function.size - 3, &frame);
    if (status == BLOCK) status = cost(r, own, &line, self);
    if (status != BLOCK) return status;
    r->call_count = 0;
    while (own.ended) {
        file = next;
        if (!starts(file, "cfl=") || !file.ended) return NOT_A_BLOCK;
        function = line_at(after(file), end);
        if (!starts(function, "cfn=") || !function.ended) return NOT_A_BLOCK;
        next = line_at(after(function), end);
        if (!is_calls(next)) return NOT_A_BLOCK;
        if (!next_call(r)) return NO_MEMORY;
        Call *call = &r->calls[r->call_count];
        status = resolve(r, file.start + 4, file.size - 4, function.start + 4, function.size - 4, &call->callee);
        if (status != BLOCK) return status;
        own = line_at(after(next), end);
        next = line_at(after(own), end);
        if (own.ended && !starts(next, "cfl=") && !is_calls(next)) return NOT_A_BLOCK;
        int32_t where;
        status = cost(r, own, &where, call->value);
        if (status != BLOCK) return status;
        call->line = where < 0 ? 0 : (uint32_t)where;
        r->called[r->call_count++] = call->callee;
    }
    return add(r, frame, line, self);
}

/* --- for Python ------------------------------------------------------------------------------------------------------ */

static int ended(Reader *r, int status) {
    if (status < 0) r->dead = status;
    return status;
}

EXPORT const char *cg_source_version(void) { return SOURCE_VERSION; }

/* `secret`: 5 random numbers. NULL without memory. */
EXPORT Reader *cg_new(const Limits *limits, const uint64_t *secret) {
    Reader *r = calloc(1, sizeof *r);
    if (!r) return NULL;
    r->limits = *limits;
    r->with_tree = true;
    memcpy(r->key, secret, sizeof r->key);
    for (int i = 0; i < 3; i++) r->multiplier[i] = secret[i + 2] | 1;
    return r;
}

EXPORT void cg_free(Reader *r) {
    if (!r) return;
    drop_nodes(r);
    void *const all[] = {
        r->text, r->name_bytes, r->name_ends, r->name_table.slots, r->files.ids, r->files.list, r->functions_by_id.ids,
        r->functions_by_id.list, r->frames, r->functions, r->seen, r->frame_table.slots, r->order, r->edges,
        r->edge_table.slots, r->calls, r->called, r->taken, r->pending, r->finished, r->indices,
        r->free_indices, r->merges, r->output[0], r->output[1], r->output[2]};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    free(r);
}

/* The paragraph that OTHER or NOT_A_BLOCK was about; valid until the next call. */
EXPORT const uint8_t *cg_piece(const Reader *r, size_t *size) {
    *size = r->piece_size;
    return r->piece;
}

/* Go on after a paragraph that was handed out: OTHER, NOT_A_BLOCK, an error, or DONE when more text is needed. */
EXPORT int cg_next(Reader *r) {
    if (r->dead) return r->dead;
    while (r->position < r->limit) {
        const uint8_t *p = r->text + r->position;
        int status = fast_block(r, &p);
        if (LIKELY(status == BLOCK)) {
            r->position = (size_t)(p - r->text);
            continue;
        }
        if (status < 0) return ended(r, status);
        const uint8_t *end = p; /* an empty line is there: `limit` is behind one */
        for (;; end++) {
            end = memchr(end, '\n', (size_t)(r->text + r->limit - end));
            if (!end) return ended(r, NO_MEMORY); /* cannot be */
            if (end[1] == '\n') break;
        }
        r->piece = p;
        r->piece_size = (size_t)(end - p);
        r->position += r->piece_size + 2;
        if (r->piece_size < 3 || memcmp(p, "fl=", 3)) return OTHER;
        status = block(r, p, r->piece_size);
        if (status == NOT_A_BLOCK) return status;
        if (status < 0) return ended(r, status);
    }
    return DONE;
}

/* The end of the last empty line among these bytes, NULL when there is none. */
static const uint8_t *last_empty_line(const uint8_t *begin, const uint8_t *end) {
    const uint64_t ones = UINT64_C(0x0101010101010101);
    for (; end - begin >= 9; end -= 8) { /* 8 pairs at once: where both are newlines, a byte of `other` is 0 */
        uint64_t other = (word_at(end - 9) ^ ones * '\n') | (word_at(end - 8) ^ ones * '\n');
        if ((other - ones) & ~other & ones << 7) break;
    }
    for (; end - begin >= 2; end--)
        if (end[-1] == '\n' && end[-2] == '\n') return end;
    return NULL;
}

/* More of the file. All before has been handed out: the last answer was DONE. */
EXPORT int cg_feed(Reader *r, const uint8_t *data, size_t size) {
    if (r->dead) return r->dead;
    size_t tail = r->text_used - r->limit, need;
    if (r->limit) memmove(r->text, r->text + r->limit, tail);
    r->position = r->limit = 0;
    r->text_used = tail;
    if (__builtin_add_overflow(size, tail + PADDING, &need) || !RESERVE(r->text, r->text_room, need))
        return ended(r, NO_MEMORY);
    memcpy(r->text + tail, data, size);
    r->text_used = tail + size;
    memset(r->text + r->text_used, 0, PADDING);
    const uint8_t *found = last_empty_line(r->text + (tail ? tail - 1 : 0), r->text + r->text_used);
    if (!found) return (int64_t)r->text_used > r->limits.block_bytes ? ended(r, BLOCK_TOO_LARGE) : DONE;
    size_t end = (size_t)(found - r->text);
    size_t start = end - 2; /* newlines count in pairs from the first on */
    while (start > 0 && r->text[start - 1] == '\n') start--;
    r->limit = start + (end - start) / 2 * 2;
    return cg_next(r);
}

/* One paragraph that begins with "fl=": BLOCK, NOT_A_BLOCK or an error. */
EXPORT int cg_block(Reader *r, const uint8_t *data, size_t size) {
    if (r->dead) return r->dead;
    return ended(r, block(r, data, size));
}

/* The text after the last paragraph. */
EXPORT const uint8_t *cg_tail(const Reader *r, size_t *size) {
    *size = r->text_used - r->limit;
    return r->text ? r->text + r->limit : NULL;
}

EXPORT void cg_columns(Reader *r, int columns) { r->columns = columns; }

/* Another profile begins: its ids are its own, and nothing after belongs to the calls before. */
EXPORT int cg_boundary(Reader *r) {
    if (r->dead) return r->dead;
    forget(&r->files);
    forget(&r->functions_by_id);
    return ended(r, close_segment(r));
}

/* Inclusive values of each frame; recursive calls inside a call of the same frame are not counted. */
static bool outermost(Reader *r, uint64_t (*totals)[2]) {
    uint32_t *stack = malloc(((size_t)r->tree_size + 1) * sizeof *stack);
    uint32_t *active = calloc(r->frame_count + 1, sizeof *active);
    if (stack && active) {
        size_t depth = 0;
        uint32_t number = r->roots.first;
        while (number || depth) {
            if (!number) {
                number = stack[--depth];
                active[r->nodes[number].frame]--;
                number = r->nodes[number].next;
                continue;
            }
            const Node *node = &r->nodes[number];
            if (!active[node->frame]) {
                totals[node->frame][0] += node->inclusive[0];
                totals[node->frame][1] += node->inclusive[1];
            }
            if (node->level.first) {
                active[node->frame]++;
                stack[depth++] = number;
                number = node->level.first;
            } else {
                number = node->next;
            }
        }
    }
    bool good = stack && active;
    free(stack);
    free(active);
    return good;
}

/* The same without a tree: all calls from other functions, so indirect recursion counts several times. */
static void from_edges(const Reader *r, uint64_t (*totals)[2]) {
    for (uint32_t node = r->roots.first; node; node = r->nodes[node].next)
        for (int i = 0; i < 2; i++) totals[r->nodes[node].frame][i] = r->nodes[node].inclusive[i];
    for (size_t e = 0; e < r->edge_count; e++)
        if (r->edges[e].callee != r->edges[e].caller)
            for (int i = 0; i < 2; i++) totals[r->edges[e].callee][i] += r->edges[e].inclusive[i];
}

static int64_t *new_columns(Reader *r, int which, size_t columns, size_t rows) {
    free(r->output[which]);
    return r->output[which] = calloc(columns * rows + 1, sizeof(int64_t)); /* rows are below 2^32 */
}

static int function_columns(Reader *r) {
    size_t rows = r->order_count;
    int64_t *out = new_columns(r, 0, 7, rows);
    uint64_t(*totals)[2] = calloc(r->frame_count + 1, sizeof *totals);
    bool good = out && totals;
    if (good && r->with_tree) good = outermost(r, totals);
    if (good && !r->with_tree) from_edges(r, totals);
    for (size_t i = 0; good && i < rows; i++) {
        const Function *f = &r->functions[r->order[i]];
        const uint64_t *total = totals[r->order[i]];
        const int64_t row[7] = {r->order[i],         f->line,           (int64_t)f->calls, (int64_t)f->self[0],
                                (int64_t)f->self[1], (int64_t)total[0], (int64_t)total[1]};
        for (int c = 0; c < 7; c++) out[(size_t)c * rows + i] = row[c];
    }
    free(totals);
    return good ? BLOCK : NO_MEMORY;
}

static int edge_columns(Reader *r) {
    size_t rows = r->edge_count, at = 0;
    int64_t *out = new_columns(r, 1, 6, rows);
    if (!out) return NO_MEMORY;
    for (size_t i = 0; i < r->order_count; i++)
        for (uint32_t n = r->functions[r->order[i]].first_edge; n != NONE; n = r->edges[n].next, at++) {
            const Edge *e = &r->edges[n];
            const int64_t row[6] = {e->caller,         e->callee, e->line, (int64_t)e->calls, (int64_t)e->inclusive[0],
                                    (int64_t)e->inclusive[1]};
            for (int c = 0; c < 6; c++) out[(size_t)c * rows + at] = row[c];
        }
    return BLOCK;
}

static bool before(const Candidate *a, const Candidate *b) {
    return a->share > b->share || (a->share == b->share && a->number < b->number);
}

static void heap_push(Candidate *heap, size_t *count, Candidate item) {
    size_t at = (*count)++;
    for (; at && before(&item, &heap[(at - 1) / 2]); at = (at - 1) / 2) heap[at] = heap[(at - 1) / 2];
    heap[at] = item;
}

static Candidate heap_pop(Candidate *heap, size_t *count) {
    Candidate top = heap[0], item = heap[--*count];
    size_t at = 0, child;
    while ((child = 2 * at + 1) < *count) {
        if (child + 1 < *count && before(&heap[child + 1], &heap[child])) child++;
        if (!before(&heap[child], &item)) break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = item;
    return top;
}

/* At most `most` nodes, parents first, large ones before small ones; see calltree.largest. */
static int tree_columns(Reader *r, size_t most) {
    size_t rows = r->with_tree ? (size_t)r->tree_size : 0, count = 0;
    if (rows > most) rows = most;
    r->result.tree = (int64_t)rows;
    int64_t *out = new_columns(r, 2, 7, rows);
    if (!out) return NO_MEMORY;
    if (!rows) return BLOCK;
    Candidate *heap = malloc((size_t)r->tree_size * sizeof *heap);
    if (!heap) return NO_MEMORY;
    uint64_t sums[2] = {0, 0}, number = 0;
    for (uint32_t n = r->roots.first; n; n = r->nodes[n].next)
        for (int i = 0; i < 2; i++) sums[i] += r->nodes[n].inclusive[i];
    const double whole[2] = {sums[0] ? (double)(int64_t)sums[0] : 1, sums[1] ? (double)(int64_t)sums[1] : 1};
    uint32_t level = r->roots.first;
    int64_t parent = -1;
    for (size_t row = 0; row < rows; row++) {
        for (uint32_t n = level; n; n = r->nodes[n].next) {
            double a = fabs((double)(int64_t)r->nodes[n].inclusive[0] / whole[0]);
            double b = fabs((double)(int64_t)r->nodes[n].inclusive[1] / whole[1]);
            heap_push(heap, &count, (Candidate){a < b ? b : a, ++number, n, parent});
        }
        Candidate top = heap_pop(heap, &count);
        const Node *node = &r->nodes[top.node];
        const int64_t line[7] = {node->frame,
                                 top.parent,
                                 (int64_t)node->calls,
                                 (int64_t)node->self[0],
                                 (int64_t)node->self[1],
                                 (int64_t)node->inclusive[0],
                                 (int64_t)node->inclusive[1]};
        for (int c = 0; c < 7; c++) out[(size_t)c * rows + row] = line[c];
        level = node->level.first;
        parent = (int64_t)row;
    }
    free(heap);
    return BLOCK;
}

/* All has been read. The result lives as long as the reader; NULL without memory. */
EXPORT const Result *cg_finish(Reader *r, int64_t tree_nodes) {
    if (r->dead || close_segment(r) != BLOCK) return NULL;
    if (function_columns(r) != BLOCK || edge_columns(r) != BLOCK) return NULL;
    if (tree_columns(r, tree_nodes < 0 ? 0 : (size_t)tree_nodes) != BLOCK) return NULL;
    Result *o = &r->result;
    o->frames = (int64_t)r->frame_count;
    o->functions = (int64_t)r->order_count;
    o->edges = (int64_t)r->edge_count;
    o->tree_size = r->with_tree ? r->tree_size : -1;
    o->unmatched = r->unmatched;
    o->size[0] = r->size[0];
    o->size[1] = r->size[1];
    o->frame_names = (const uint32_t *)r->frames;
    o->names = (int64_t)r->names;
    o->name_ends = r->name_ends;
    o->name_bytes = r->name_bytes;
    o->function_columns = r->output[0];
    o->edge_columns = r->output[1];
    o->tree_columns = r->output[2];
    return o;
}
