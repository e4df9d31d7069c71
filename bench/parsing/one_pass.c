/* The upper bound: what reading such a profile costs in C when the file is trusted in everything.
 *
 *   one_pass newlines FILE    counts newlines byte by byte, as `wc -l` does without AVX2
 *   one_pass edges FILE       self time and memory of each function and of each calling line: one pass over a map of the file
 *
 * No names, no tree, no checks, no limits.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define FUNCTIONS (1 << 20)
#define EDGES (1 << 20)

static struct {
    uint64_t calls, time, memory;
} functions[FUNCTIONS];
static struct {
    uint64_t key, calls, time, memory;
} edges[EDGES];

static inline uint64_t number(const char **at) {
    const char *p = *at;
    uint64_t n = 0;
    while (*p >= '0' && *p <= '9') n = n * 10 + (uint64_t)(*p++ - '0');
    *at = p;
    return n;
}

static inline const char *next_line(const char *p) {
    while (*p != '\n') p++;
    return p + 1;
}

int main(int count, char **argument) {
    struct stat info;
    if (count != 3) return 2;
    int fd = open(argument[2], O_RDONLY);
    if (fd < 0 || fstat(fd, &info)) return perror(argument[2]), 1;
    const char *p = mmap(NULL, (size_t)info.st_size + 1, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0), *end = p + info.st_size;
    if (p == MAP_FAILED) return perror("mmap"), 1;
    if (!strcmp(argument[1], "newlines")) {
        uint64_t lines = 0;
        for (; p < end; p++) lines += *p == '\n';
        return printf("%llu\n", (unsigned long long)lines) < 0;
    }
    uint64_t blocks = 0, different = 0;
    while (p < end) {
        if (*p != 'f') { /* the header, or the summary */
            p = next_line(p);
            continue;
        }
        p = strchr(p, '\n') + 5;
        uint64_t function = number(&p) % FUNCTIONS;
        p = next_line(p);
        number(&p), p++;
        functions[function].calls++;
        functions[function].time += number(&p), p++;
        functions[function].memory += number(&p), p++;
        blocks++;
        while (*p == 'c') {
            p = strchr(p, '\n') + 6;
            uint64_t callee = number(&p);
            p = next_line(p) + sizeof "calls=1 0 0\n" - 1;
            uint64_t key = function << 40 | callee << 20 | number(&p);
            p++;
            uint64_t slot = key * UINT64_C(0x9E3779B97F4A7C15) >> 44;
            while (edges[slot].calls && edges[slot].key != key) slot = (slot + 1) % EDGES;
            different += !edges[slot].calls;
            edges[slot].key = key;
            edges[slot].calls++;
            edges[slot].time += number(&p), p++;
            edges[slot].memory += number(&p), p++;
        }
    }
    printf("%llu blocks, %llu edges\n", (unsigned long long)blocks, (unsigned long long)different);
    return 0;
}
