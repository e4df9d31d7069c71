/* A target that uses malloc as it is told, one word a line on stdin, one answer a line on stdout.
 * "rest" asks mallinfo2, stops the process before anything else happens, and says after SIGCONT what mallinfo2 said.
 * Neither the commands nor the answers allocate. Build: cc -O1 -pthread malloc_states.c -o malloc_states */
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 20000, HAMMERED = 5000, THREADS = 4, BLOCKS = 1500, BLOCK = 60000 };

static void *kept[SLOTS];
static void *volatile large[8];
static atomic_int hammering, done;
static pthread_t workers[THREADS];

static unsigned next_random(unsigned *seed) { return (*seed = *seed * 1103515245u + 12345u) >> 8; }

static void fill(void **slots, int count, unsigned seed) {
    for (int k = 0; k < count; k++) slots[k] = malloc(16 + next_random(&seed) % 4000);
}

static void thin(void **slots, int count) {
    for (int k = 0; k < count; k++)
        if (k % 3) { free(slots[k]); slots[k] = NULL; }
}

/* Until all threads are here: one that ends leaves its arena to the next. */
static void meet(void) {
    atomic_fetch_add(&done, 1);
    while (atomic_load(&done) < THREADS) sched_yield();
}

/* Leaves chunks in an arena of its own, in two heaps of 64 MiB, every third one in use. */
static void *occupy(void *argument) {
    void **slots = calloc(BLOCKS, sizeof *slots);
    (void)argument;
    for (int k = 0; k < BLOCKS; k++) slots[k] = malloc(BLOCK);
    thin(slots, BLOCKS);
    meet();
    return slots;
}

/* Little enough for a fixture. */
static void *little(void *argument) {
    void **slots = calloc(100, sizeof *slots);
    fill(slots, 100, 1 + (unsigned)(size_t)argument);
    thin(slots, 100);
    meet();
    return slots;
}

static void *hammer(void *argument) {
    unsigned seed = 1 + (unsigned)(size_t)argument;
    void **slots = calloc(HAMMERED, sizeof *slots);
    fill(slots, HAMMERED, seed);
    meet();
    while (atomic_load(&hammering)) {
        int k = next_random(&seed) % HAMMERED;
        free(slots[k]);
        slots[k] = malloc(16 + next_random(&seed) % 4000);
    }
    return slots;
}

static void start(void *(*work)(void *), int count) {
    atomic_store(&done, 0);
    for (int k = 0; k < count; k++)
        if (pthread_create(&workers[k], NULL, work, (void *)(size_t)k)) abort();
    while (atomic_load(&done) < count) sched_yield();
}

static void join(int count) {
    for (int k = 0; k < count; k++) pthread_join(workers[k], NULL);
}

int main(void) {
    static char in[4096], out[4096], word[64];
    setvbuf(stdin, in, _IOFBF, sizeof in);
    setvbuf(stdout, out, _IOLBF, sizeof out);
    puts("ready");
    while (scanf("%63s", word) == 1) {
        if (!strcmp(word, "rest")) {
            struct mallinfo2 m = mallinfo2();
            raise(SIGSTOP);
            printf("%zu %zu %zu %zu %zu %zu\n", m.arena, m.hblkhd, m.uordblks, m.fsmblks, m.fordblks, m.keepcost);
            continue;
        }
        if (!strcmp(word, "fill")) fill(kept, SLOTS, 7);
        else if (!strcmp(word, "thin")) thin(kept, SLOTS);
        else if (!strcmp(word, "large")) for (int k = 0; k < 8; k++) large[k] = malloc((1 << 20) + 1000 * k);
        else if (!strcmp(word, "threads")) { start(occupy, THREADS); join(THREADS); }
        else if (!strcmp(word, "little")) { start(little, THREADS); join(THREADS); }
        else if (!strcmp(word, "trim")) malloc_trim(0);
        else if (!strcmp(word, "hammer")) { atomic_store(&hammering, 1); start(hammer, THREADS); }
        else if (!strcmp(word, "calm")) { atomic_store(&hammering, 0); join(THREADS); }
        else abort();
        puts("ok");
    }
    return 0;
}
