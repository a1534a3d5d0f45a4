/* What a client does. */
#include <stdbool.h>

struct job {
	const char *operation;
	/* COUNT files, entries, blocks or milliseconds; SIZE bytes in a file. */
	long count;
	long size;
	/* How often all of it is done. */
	long repeats;
	/* For `exec`: the program and its arguments. */
	char **program;
};

/* Whether the operation is one on each of many files, which several processes can share out among them. */
bool is_on_files(const char *operation);

/* Does the job in the working directory. Ends the process, with a message, where something fails. */
void do_job(const struct job *job);

/* Ends the process: "Cannot WHAT NAME: errno". */
void fail(const char *what, const char *name);
