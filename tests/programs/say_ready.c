/* A target that does nothing: says "ready" and waits until stdin ends. */
#include <stdio.h>
#include <stdlib.h>

int main(void) {
    volatile char *kept = malloc(1000);
    kept[0] = 1;
    puts("ready");
    fflush(stdout);
    while (getchar() != EOF) {}
    return kept[0] != 1;
}
