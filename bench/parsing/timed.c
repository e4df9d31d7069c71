/* Runs a command, its output thrown away, and prints wall time and CPU time in ns, its exit status, and its peak RSS in KiB.
 *
 *   timed COMMAND ARGUMENT...
 *
 * The kernel counts to a process's peak what it was before exec: a copy of this program is small, a copy of Python is not.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int main(int count, char **argument) {
    struct timespec begin, end;
    struct rusage usage;
    int status;
    if (count < 2) return 2;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    pid_t child = fork();
    if (!child) {
        dup2(open("/dev/null", O_WRONLY), 1);
        execvp(argument[1], argument + 1);
        _exit(127);
    }
    if (child < 0 || wait4(child, &status, 0, &usage) < 0) return 1;
    clock_gettime(CLOCK_MONOTONIC, &end);
    long long ns = (end.tv_sec - begin.tv_sec) * 1000000000LL + end.tv_nsec - begin.tv_nsec;
    long long cpu_us = (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000LL + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
    printf("%lld %lld %d %ld\n", ns, cpu_us * 1000, WIFEXITED(status) ? WEXITSTATUS(status) : 128, usage.ru_maxrss);
    return 0;
}
