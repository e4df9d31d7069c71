/* A target whose heap cannot grow with brk, because something is mapped right behind it. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int main(void) {
    void *first = malloc(1000);
    void *wall = mmap(sbrk(0), 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (!first || wall != sbrk(0)) return 1;
    for (int k = 0; k < 500; k++) memset(malloc(100000), 1, 100);
    puts("ready");
    fflush(stdout);
    while (getchar() != EOF) {}
    return 0;
}
