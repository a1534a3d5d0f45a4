/*
 * The operations of a client. Names of files are relative to the working directory, so that a figure is that of one step
 * of a path.
 */
#define _GNU_SOURCE
#include "operations.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define BLOCK (1 << 20)
#define NAME_SIZE 32
#define ATTRIBUTE "user.spinney-bench"
#define ATTRIBUTE_SIZE 32
/* Of the tree that `tree` makes: files in a directory, and directories in one above it. */
#define FILES_PER_DIRECTORY 100
#define DIRECTORIES_PER_DIRECTORY 20

static char block[BLOCK];

void fail(const char *what, const char *name)
{
	fprintf(stderr, "client: Cannot %s %s: %s\n", what, name, strerror(errno));
	exit(1);
}

/* The text with the number in six digits; printf would be seen in the figures. */
static const char *numbered(char *name, const char *text, long number)
{
	char *p = stpcpy(name, text) + 6;

	*p = '\0';
	for (int i = 0; i < 6; i++) {
		*--p = '0' + number % 10;
		number /= 10;
	}
	return name;
}

static void create(const char *name, const struct job *job, long pass)
{
	int fd = open(name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);

	(void) pass;
	if (fd < 0)
		fail("create", name);
	if (job->size > 0 && write(fd, block, job->size) != job->size)
		fail("write", name);
	if (close(fd) != 0)
		fail("close", name);
}

static void look(const char *name, const struct job *job, long pass)
{
	struct stat st;

	(void) job, (void) pass;
	if (lstat(name, &st) != 0)
		fail("stat", name);
}

static void miss(const char *name, const struct job *job, long pass)
{
	struct stat st;

	(void) job, (void) pass;
	if (lstat(name, &st) == 0 || errno != ENOENT)
		fail("miss", name);
}

static void read_small(const char *name, const struct job *job, long pass)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC);

	(void) pass;
	if (fd < 0)
		fail("open", name);
	if (read(fd, block, BLOCK) != job->size)
		fail("read", name);
	close(fd);
}

/* There in one pass, back in the next. */
static void move(const char *name, const struct job *job, long pass)
{
	char other[NAME_SIZE] = "moved-";

	(void) job;
	strcat(other, name);
	if ((pass % 2 == 0 ? rename(name, other) : rename(other, name)) != 0)
		fail("rename", name);
}

static void set_attribute(const char *name, const struct job *job, long pass)
{
	(void) job, (void) pass;
	if (setxattr(name, ATTRIBUTE, block, ATTRIBUTE_SIZE, 0) != 0)
		fail("set an attribute of", name);
}

static void get_attribute(const char *name, const struct job *job, long pass)
{
	(void) job, (void) pass;
	if (getxattr(name, ATTRIBUTE, block, BLOCK) != ATTRIBUTE_SIZE)
		fail("get an attribute of", name);
}

static void delete(const char *name, const struct job *job, long pass)
{
	(void) job, (void) pass;
	if (unlink(name) != 0)
		fail("unlink", name);
}

static void list(const struct job *job)
{
	long entries = -2;
	DIR *directory = opendir(".");

	if (directory == NULL)
		fail("list", "the directory");
	while (readdir(directory) != NULL)
		entries++;
	closedir(directory);
	if (entries == job->count)
		return;
	fprintf(stderr, "client: Cannot list the directory: %ld entries instead of %ld\n", entries, job->count);
	exit(1);
}

static void write_stream(const struct job *job)
{
	int fd = open("stream", O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);

	if (fd < 0)
		fail("create", "stream");
	for (long i = 0; i < job->count; i++)
		for (long done = 0; done < BLOCK;) {
			long n = write(fd, block + done, BLOCK - done);
			if (n <= 0)
				fail("write", "stream");
			done += n;
		}
	if (fsync(fd) != 0 || close(fd) != 0)
		fail("sync", "stream");
}

static void read_stream(const struct job *job)
{
	int fd = open("stream", O_RDONLY | O_CLOEXEC);
	long long bytes = 0;
	long n;

	if (fd < 0)
		fail("open", "stream");
	while ((n = read(fd, block, BLOCK)) > 0)
		bytes += n;
	if (n < 0 || bytes != job->count * (long long) BLOCK)
		fail("read", "stream");
	close(fd);
}

static void go_into_new(const char *directory)
{
	if (mkdir(directory, 0755) != 0 || chdir(directory) != 0)
		fail("make", directory);
}

static void go_up(void)
{
	if (chdir("..") != 0)
		fail("leave", "a directory");
}

/* As many entries as asked for, most of them files, in directories of two levels. */
static void make_tree(const struct job *job)
{
	char name[NAME_SIZE];
	long left = job->count;

	for (long i = 0; left > 0; i++) {
		go_into_new(numbered(name, "top-", i));
		left--;
		for (long j = 0; j < DIRECTORIES_PER_DIRECTORY && left > 0; j++) {
			go_into_new(numbered(name, "dir-", j));
			left--;
			for (long k = 0; k < FILES_PER_DIRECTORY && left > 0; k++, left--)
				create(numbered(name, "file-", k), job, 0);
			go_up();
		}
		go_up();
	}
}

static void idle(const struct job *job)
{
	struct timespec t = { job->count / 1000, job->count % 1000 * 1000000L };

	nanosleep(&t, NULL);
}

static void run_program(const struct job *job)
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		fail("start", job->program[0]);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
		execvp(job->program[0], job->program);
		fail("run", job->program[0]);
	}
	if (waitpid(pid, &status, 0) == pid && status == 0)
		return;
	fprintf(stderr, "client: %s failed with status 0x%x\n", job->program[0], status);
	exit(1);
}

static const struct {
	const char *name;
	const char *files;
	void (*each)(const char *name, const struct job *job, long pass);
} ON_FILES[] = {
	{ "create", "file-", create },
	{ "stat", "file-", look },
	{ "absent", "none-", miss },
	{ "read", "file-", read_small },
	{ "rename", "file-", move },
	{ "setxattr", "file-", set_attribute },
	{ "getxattr", "file-", get_attribute },
	{ "unlink", "file-", delete },
};

static const struct {
	const char *name;
	void (*whole)(const struct job *job);
} ON_DIRECTORIES[] = {
	{ "list", list },
	{ "write-stream", write_stream },
	{ "read-stream", read_stream },
	{ "tree", make_tree },
	{ "idle", idle },
	{ "exec", run_program },
};

#define LENGTH(array) (sizeof array / sizeof *array)

static int find_on_files(const char *operation)
{
	for (unsigned i = 0; i < LENGTH(ON_FILES); i++)
		if (strcmp(ON_FILES[i].name, operation) == 0)
			return i;
	return -1;
}

bool is_on_files(const char *operation)
{
	return find_on_files(operation) >= 0;
}

static void do_on_files(int operation, const struct job *job, long pass)
{
	char name[NAME_SIZE];

	for (long i = 0; i < job->count; i++)
		ON_FILES[operation].each(numbered(name, ON_FILES[operation].files, i), job, pass);
}

void do_job(const struct job *job)
{
	int on_files = find_on_files(job->operation);
	unsigned whole = 0;

	while (on_files < 0 && strcmp(ON_DIRECTORIES[whole].name, job->operation) != 0)
		if (++whole == LENGTH(ON_DIRECTORIES)) {
			fprintf(stderr, "client: Cannot do %s: no such operation\n", job->operation);
			exit(2);
		}
	for (long pass = 0; pass < job->repeats; pass++) {
		if (on_files >= 0)
			do_on_files(on_files, job, pass);
		else
			ON_DIRECTORIES[whole].whole(job);
	}
}
