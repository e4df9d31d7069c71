/* A library whose memory only a profiler of native allocations sees. */

#include <stdlib.h>
#include <string.h>

void *keep_native(size_t bytes)
{
    void *block = malloc(bytes);
    if (block != NULL)
        memset(block, 1, bytes);
    return block;
}
