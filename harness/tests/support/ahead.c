// The wall clock is 3 s ahead as soon as the file named by AHEAD exists: a step of the host's clock as the programs see
// it that have this library preloaded. libfaketime allocates before the allocator of kbench can: it does not start.

#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int answer = syscall(SYS_clock_gettime, clock, now);
    const char *ahead = getenv("AHEAD");
    if (clock == CLOCK_REALTIME && ahead && access(ahead, F_OK) == 0)
        now->tv_sec += 3;
    return answer;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec precise;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now)
{
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (now)
        *now = precise.tv_sec;
    return precise.tv_sec;
}
