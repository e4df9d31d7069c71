/* The yardstick: what reading PSS and USS of some processes costs in C.
 *
 *   c_loop fixed  TICKS INTERVAL_NS PID...   open, read, close and parse smaps_rollup and stat of these processes each tick
 *   c_loop follow TICKS INTERVAL_NS PID      the same for the process and all its descendants, found anew each tick; prints
 *                                            "T_NS PID START_TICKS PSS_KB USS_KB" for each, T_NS just before its reading
 *
 * "fixed" prints the number of process-samples. Ticks lie on a fixed grid; an interval of 0 means back to back.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MOST 8192
static int pids[MOST];
static int count;
static char text[65536];

static long long now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int slurp(int pid, const char *name) {
    char path[96];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t size = 0, n;
    while (size < (ssize_t)sizeof text - 1 && (n = read(fd, text + size, sizeof text - 1 - size)) > 0) size += n;
    close(fd);
    text[size] = 0;
    return size > 0;
}

static long long field_kb(const char *name) {
    char *at = strstr(text, name);
    return at ? atoll(at + strlen(name)) : 0;
}

static int sample(int pid, long long *start_ticks, long long *pss_kb, long long *uss_kb) {
    if (!slurp(pid, "stat")) return 0;
    char *at = strrchr(text, ')');
    if (!at || at[2] == 'Z') return 0;
    for (int field = 2; field < 22 && at; field++) at = strchr(at + 1, ' ');
    *start_ticks = at ? atoll(at) : 0;
    if (!slurp(pid, "smaps_rollup")) return 0;
    *pss_kb = field_kb("\nPss:");
    *uss_kb = field_kb("\nPrivate_Clean:") + field_kb("\nPrivate_Dirty:") + field_kb("\nPrivate_Hugetlb:");
    return 1;
}

static void descend(int pid) {
    char name[64];
    if (count >= MOST) return;
    pids[count++] = pid;
    snprintf(name, sizeof name, "task/%d/children", pid);
    if (!slurp(pid, name)) return;
    char *copy = strdup(text), *rest = copy;
    for (char *word; (word = strtok_r(rest, " \n", &rest));) descend(atoi(word));
    free(copy);
}

int main(int argc, char **argv) {
    if (argc < 5) return 2;
    int follow = strcmp(argv[1], "follow") == 0;
    long ticks = atol(argv[2]), samples = 0;
    long long interval_ns = atoll(argv[3]), start_ns = now_ns();
    for (int i = 4; i < argc && count < MOST; i++) pids[count++] = atoi(argv[i]);
    int root = pids[0];
    for (long tick = 0; tick < ticks; tick++) {
        long long at_ns = start_ns + tick * interval_ns;
        struct timespec until = {at_ns / 1000000000LL, at_ns % 1000000000LL};
        if (interval_ns) clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        if (follow) {
            count = 0;
            descend(root);
        }
        for (int i = 0; i < count; i++) {
            long long begun_ns = now_ns(), start_ticks, pss_kb, uss_kb;
            if (!sample(pids[i], &start_ticks, &pss_kb, &uss_kb)) continue;
            samples += pss_kb + uss_kb > 0;
            if (follow) printf("%lld %d %lld %lld %lld\n", begun_ns, pids[i], start_ticks, pss_kb, uss_kb);
        }
    }
    if (!follow) printf("%ld\n", samples);
    return 0;
}
