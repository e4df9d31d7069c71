/* Feeds damaged profiles to the compiled reader; built with sanitizers by tests/unit/adapters/formats/test_cachegrind_fuzz.py.
 *
 *   cachegrind_fuzz ROUNDS FILE...    each file as it is, and ROUNDS times changed at random, with seeds that are always the same
 *
 * Limits, sizes of chunks and the allocation that fails are random too. Prints how many profiles were read to their ends.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state;
static uint64_t dice(uint64_t sides) { /* splitmix64 */
    uint64_t z = state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return (z ^ z >> 31) % sides;
}

static uint64_t until_failure; /* 0: allocations do not fail */
static int fails(void) { return until_failure && !--until_failure; }
static void *failing_malloc(size_t n) { return fails() ? NULL : malloc(n); }
static void *failing_calloc(size_t n, size_t size) { return fails() ? NULL : calloc(n, size); }
static void *failing_realloc(void *p, size_t n) { return fails() ? NULL : realloc(p, n); }
#define malloc failing_malloc
#define calloc failing_calloc
#define realloc failing_realloc
#include "_cachegrind.c"
#undef malloc
#undef calloc
#undef realloc

#define MOST (1 << 20)
static uint8_t original[MOST], text[2 * MOST];

static const char *const patches[] = {
    "\n", "\n\n", "\n\n\n", "fl=", "fn=", "cfl=(1)\ncfn=(1)\ncalls=1 0 0\n1 2 3\n", "(1)", "(1) other", "(999999) far", "(9999999)", "-5",
    "calls=1 0 0\n", "999999999999999999", "9999999999999999999", " ", "()", "(1", "version: 1\n\n", "events: Time\n\n",
    "events: Time_(10ns) Memory_(bytes)\n\n", "fl=(1)\nfn=(1)\n1 1 1\n\n", "summary: 1 1\n\n", "{main}", "\xff\xfa"};

static size_t change(size_t size) {
    for (uint64_t i = dice(6) + 1; i--;) {
        size_t at = dice(size + 1), cut = dice(4) ? dice(12) : dice(400);
        if (cut > size - at) cut = size - at;
        uint8_t byte = (uint8_t)dice(256);
        const char *patch = patches[dice(sizeof patches / sizeof *patches)];
        const uint8_t *with = (const uint8_t *)patch;
        size_t length = strlen(patch);
        switch (dice(4)) {
        case 0: with = &byte; length = 1; break;
        case 1: with = original + dice(size + 1) / 2; length = dice(300); break; /* a piece from elsewhere */
        case 2: cut = 0; break;
        default: break;
        }
        if (size - cut + length > sizeof text) continue;
        memmove(text + at + length, text + at + cut, size - at - cut);
        memcpy(text + at, with, length);
        size += length - cut;
    }
    return size;
}

/* What Python does with paragraphs that are no blocks, as far as it matters for the reader. */
static int other(Reader *r) {
    size_t size;
    const uint8_t *piece = cg_piece(r, &size);
    while (size && *piece == '\n') piece++, size--;
    if (size >= 3 && !memcmp(piece, "fl=", 3)) {
        uint8_t *copy = malloc(size); /* exactly as long, so that reading on is noticed */
        memcpy(copy, piece, size);
        int status = cg_block(r, copy, size);
        free(copy);
        return status < 0 ? status : DONE;
    }
    if (size >= 8 && !memcmp(piece, "version:", 8)) return cg_boundary(r) < 0 ? r->dead : DONE;
    if (size >= 7 && !memcmp(piece, "events:", 7)) cg_columns(r, memchr(piece, 'M', size) ? 2 : 1);
    return DONE;
}

static int64_t some(int64_t normal) { return dice(8) ? normal : (int64_t)dice(40) + 1; }

static int run(size_t size) {
    uint64_t secret[5];
    for (int i = 0; i < 5; i++) secret[i] = dice(UINT64_MAX);
    const Limits limits = {some(64 << 20), some(200000), some(64 << 20), some(1000000), some(1000000), some(2000000), some(20000000)};
    until_failure = dice(8) ? 0 : dice(200) + 1;
    Reader *r = cg_new(&limits, secret);
    int status = r ? DONE : NO_MEMORY;
    for (size_t at = 0; at < size && status >= 0;) {
        size_t length = dice(3) ? dice(5000) + 1 : dice(30) + 1;
        if (length > size - at) length = size - at;
        status = cg_feed(r, text + at, length);
        while (status > 0) {
            status = status == OTHER ? other(r) : DONE;
            if (status >= 0) status = cg_next(r);
        }
        at += length;
    }
    const Result *o = NULL;
    if (status >= 0 && (o = cg_finish(r, (int64_t)dice(500)))) {
        uint64_t sum = 0; /* read all that is given */
        for (int64_t i = 0; i < 7 * o->functions; i++) sum += (uint64_t)o->function_columns[i];
        for (int64_t i = 0; i < 6 * o->edges; i++) sum += (uint64_t)o->edge_columns[i];
        for (int64_t i = 0; i < 7 * o->tree; i++) sum += (uint64_t)o->tree_columns[i];
        for (int64_t i = 0; i < 2 * o->frames; i++) if (o->frame_names[i] >= o->names) abort();
        for (int64_t i = 0; i < o->names; i++) sum += o->name_ends[i];
        state += sum & 1;
    }
    cg_free(r);
    until_failure = 0;
    return o != NULL;
}

int main(int count, char **argument) {
    long read = 0, rounds = count > 2 ? atol(argument[1]) : 0;
    for (int i = 2; i < count; i++) {
        FILE *file = fopen(argument[i], "rb");
        if (!file) return perror(argument[i]), 1;
        size_t size = fread(original, 1, sizeof original, file);
        fclose(file);
        for (long round = 0; round <= rounds; round++) {
            state = (uint64_t)i << 32 | (uint64_t)round;
            memcpy(text, original, size);
            read += run(round ? change(size) : size);
        }
    }
    printf("%ld\n", read);
    return 0;
}
