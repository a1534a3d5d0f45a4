/*
 * A client of a mount: does one job, in one process or in several that start together, and prints
 *
 *     <elapsed ns> <CPU ns of the serving process in that time, or -1>
 *
 * client [-p PID] [-c PROCESSES] [-r REPEATS] OPERATION DIRECTORY [COUNT [SIZE]]
 * client [-p PID] exec DIRECTORY PROGRAM [ARGUMENT ...]
 *
 * The time is that from the first process's start to the end of the last one; what makes a process ready is not in it.
 * Where the operation is one on files, process k works in DIRECTORY/k, on COUNT / PROCESSES files of its own.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "operations.h"

#define MOST_PROCESSES 64

struct times {
	long long started;
	long long ended;
};

static long long now(clockid_t clock)
{
	struct timespec t;

	if (clock_gettime(clock, &t) != 0)
		fail("read", "a clock");
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void enter(const char *directory, const char *operation, long number)
{
	char own[32];

	if (chdir(directory) != 0)
		fail("enter", directory);
	if (!is_on_files(operation))
		return;
	snprintf(own, sizeof own, "%ld", number);
	if (strcmp(operation, "create") == 0 && mkdir(own, 0755) != 0)
		fail("make", own);
	if (chdir(own) != 0)
		fail("enter", own);
}

/* Says that it is ready, waits for its byte, and does the job. */
static void be_process(const struct job *job, int ready, int start, struct times *times)
{
	char byte = 0;

	if (write(ready, &byte, 1) != 1 || close(ready) != 0 || read(start, &byte, 1) != 1)
		exit(1);
	times->started = now(CLOCK_MONOTONIC);
	do_job(job);
	times->ended = now(CLOCK_MONOTONIC);
	_exit(0);
}

static long long elapsed(const struct times *times, long processes)
{
	struct times all = times[0];

	for (long i = 1; i < processes; i++) {
		if (times[i].started < all.started)
			all.started = times[i].started;
		if (times[i].ended > all.ended)
			all.ended = times[i].ended;
	}
	return all.ended - all.started;
}

/* In memory that the processes share. */
static struct times *make_times(void)
{
	void *memory = mmap(NULL, MOST_PROCESSES * sizeof(struct times), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		fail("map", "memory");
	return memory;
}

/* Returns the exit code; a process that failed has said why. */
static int run(const struct job *job, const char *directory, long processes, pid_t server)
{
	int ready[2], start[2], status;
	struct times *times = make_times();
	clockid_t cpu = CLOCK_MONOTONIC;
	char bytes[MOST_PROCESSES] = { 0 };

	if (server != 0 && (errno = clock_getcpuclockid(server, &cpu)) != 0)
		fail("find", "the serving process");
	if (pipe(ready) != 0 || pipe(start) != 0)
		fail("make", "a pipe");
	for (long i = 0; i < processes; i++) {
		pid_t pid = fork();
		if (pid < 0)
			fail("start", "a process");
		if (pid > 0)
			continue;
		/* Nobody is to go on behind the back of the one who waits. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(start[1]);
		enter(directory, job->operation, i);
		be_process(job, ready[1], start[0], &times[i]);
	}
	/* So that the file ends where a process has ended without being ready. */
	close(ready[1]);
	for (long i = 0; i < processes; i++)
		if (read(ready[0], bytes, 1) != 1)
			return 1;
	long long before = now(cpu);
	if (write(start[1], bytes, processes) != processes)
		fail("start", "the processes");
	for (long i = 0; i < processes; i++)
		if (wait(&status) < 0 || status != 0)
			return 1;
	long long used = now(cpu) - before;
	printf("%lld %lld\n", elapsed(times, processes), server != 0 ? used : -1);
	return 0;
}

int main(int argc, char **argv)
{
	struct job job = { .repeats = 1 };
	long processes = 1, server = 0;
	int option;

	while ((option = getopt(argc, argv, "+p:c:r:")) != -1) {
		if (option == 'p')
			server = atol(optarg);
		else if (option == 'c')
			processes = atol(optarg);
		else if (option == 'r')
			job.repeats = atol(optarg);
		else
			return 2;
	}
	argv += optind;
	argc -= optind;
	if (argc < 2 || processes < 1 || processes > MOST_PROCESSES) {
		fprintf(stderr, "client: Cannot tell what to do and where\n");
		return 2;
	}
	job.operation = argv[0];
	job.program = argv + 2;
	if (strcmp(job.operation, "exec") != 0 && argc > 2) {
		job.count = atol(argv[2]) / processes;
		job.size = argc > 3 ? atol(argv[3]) : 0;
	}
	return run(&job, argv[1], processes, server);
}
