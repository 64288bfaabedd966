/* Records what a process writes into a folder and what it syncs there, in the order in which it happens: tests/powercut.rs
 * rebuilds from it what a power cut would have left. Loaded with LD_PRELOAD; compiled by the test.
 *
 * RECORDER_FOLDER: the folder, absolute, without links in it. RECORDER_LOG: the file of records, which the test appends to
 * as well. One record is one write(2) to an O_APPEND descriptor, so that records of two processes are in one order:
 *
 *   u32 length of all that follows | u8 kind | u64 a | u64 b | u16 length of the path | path below the folder | bytes
 *
 * A write stands behind its being done, a sync has two records, one before it is asked for and one when it is done: only
 * what was written before the first is sure to be on disk at the second. sync_file_range is recorded and promises nothing
 * (sync_file_range(2): no metadata, no disk cache).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* The numbers are tests/powercut/log.rs's. */
enum { CREATED = 1, WROTE, TRUNCATED, RENAMED, UNLINKED, MADE_FOLDER, SYNC_BEGINS, SYNCED, RANGE_SYNCED };

static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;
static int record_fd = -1;
static char folder[PATH_MAX];
static size_t folder_length;
/* Descriptors so high that the program has none there. */
enum { RECORD_FD_MIN = 500 };

static void die(const char *what)
{
	dprintf(2, "recorder: %s: %s\n", what, strerror(errno));
	_exit(97);
}

__attribute__((constructor)) static void start(void)
{
	const char *in = getenv("RECORDER_FOLDER"), *log = getenv("RECORDER_LOG");
	if (!in || !log)
		return;
	folder_length = strlen(in);
	if (folder_length >= sizeof folder)
		die("RECORDER_FOLDER");
	strcpy(folder, in);
	int fd = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		die(log);
	record_fd = fcntl(fd, F_DUPFD_CLOEXEC, RECORD_FD_MIN);
	if (record_fd < 0)
		die("F_DUPFD_CLOEXEC");
	syscall(SYS_close, fd);
}

/* The path below the folder, or NULL for what is elsewhere. */
static const char *inside(const char *path)
{
	if (record_fd < 0 || strncmp(path, folder, folder_length))
		return NULL;
	path += folder_length;
	return *path == '/' ? path + 1 : *path ? NULL : path;
}

static const char *inside_at(int at, const char *path, char *room)
{
	size_t length = 0;
	if (record_fd < 0)
		return NULL;
	if (*path != '/') {
		if (at == AT_FDCWD) {
			if (!getcwd(room, PATH_MAX))
				die("getcwd");
			length = strlen(room);
		} else {
			char link[64];
			snprintf(link, sizeof link, "/proc/self/fd/%d", at);
			ssize_t got = readlink(link, room, PATH_MAX);
			if (got < 0)
				return NULL;
			length = got;
		}
		room[length++] = '/';
	}
	if (length + strlen(path) >= PATH_MAX)
		return NULL;
	strcpy(room + length, path);
	return inside(room);
}

static const char *inside_fd(int fd, char *room)
{
	if (record_fd < 0)
		return NULL;
	char link[64];
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t length = readlink(link, room, PATH_MAX - 1);
	if (length < 0)
		return NULL;
	room[length] = 0;
	return inside(room);
}

static void record(uint8_t kind, uint64_t a, uint64_t b, const char *path, const void *bytes, size_t count)
{
	uint16_t path_length = strlen(path);
	uint32_t length = 1 + 8 + 8 + 2 + path_length + count;
	char head[4 + 1 + 8 + 8 + 2];
	memcpy(head, &length, 4);
	head[4] = kind;
	memcpy(head + 5, &a, 8);
	memcpy(head + 13, &b, 8);
	memcpy(head + 21, &path_length, 2);
	struct iovec parts[] = { { head, sizeof head }, { (void *)path, path_length }, { (void *)bytes, count } };
	ssize_t written = syscall(SYS_writev, record_fd, parts, 3);
	if (written != (ssize_t)(4 + length))
		die("a record isn't written");
}

/* Done and recorded at one moment: no other write of this process comes between. */
#define IN_ORDER(call, path, succeeded, ...)                   \
	do {                                                   \
		pthread_mutex_lock(&order);                    \
		call;                                          \
		int kept = errno;                              \
		if (succeeded)                                 \
			record(__VA_ARGS__);                   \
		pthread_mutex_unlock(&order);                  \
		errno = kept;                                  \
	} while (0)

static int opened(int (*real)(int, const char *, int, mode_t), int at, const char *path, int flags, mode_t mode)
{
	char room[PATH_MAX];
	const char *in = flags & (O_CREAT | O_TRUNC) ? inside_at(at, path, room) : NULL;
	if (!in)
		return real(at, path, flags, mode);
	int fd;
	pthread_mutex_lock(&order);
	int existed = faccessat(at, path, F_OK, 0) == 0;
	fd = real(at, path, flags, mode);
	int kept = errno;
	if (fd >= 0 && !existed)
		record(CREATED, 0, 0, in, NULL, 0);
	else if (fd >= 0 && flags & O_TRUNC)
		record(TRUNCATED, 0, 0, in, NULL, 0);
	pthread_mutex_unlock(&order);
	errno = kept;
	return fd;
}

static int real_openat(int at, const char *path, int flags, mode_t mode)
{
	return syscall(SYS_openat, at, path, flags, mode);
}

#define MODE_OF(flags, last)                                   \
	mode_t mode = 0;                                       \
	if ((flags) & (O_CREAT | O_TMPFILE)) {                 \
		va_list more;                                  \
		va_start(more, last);                          \
		mode = va_arg(more, mode_t);                   \
		va_end(more);                                  \
	}

int open(const char *path, int flags, ...)
{
	MODE_OF(flags, flags)
	return opened(real_openat, AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	MODE_OF(flags, flags)
	return opened(real_openat, AT_FDCWD, path, flags | O_LARGEFILE, mode);
}

int openat(int at, const char *path, int flags, ...)
{
	MODE_OF(flags, flags)
	return opened(real_openat, at, path, flags, mode);
}

int openat64(int at, const char *path, int flags, ...)
{
	MODE_OF(flags, flags)
	return opened(real_openat, at, path, flags | O_LARGEFILE, mode);
}

ssize_t write(int fd, const void *bytes, size_t count)
{
	char room[PATH_MAX];
	const char *in = inside_fd(fd, room);
	if (!in)
		return syscall(SYS_write, fd, bytes, count);
	ssize_t done;
	/* Where it begins: at the file's end with O_APPEND, which moves the place too. */
	IN_ORDER(done = syscall(SYS_write, fd, bytes, count), in, done > 0, WROTE, lseek(fd, 0, SEEK_CUR) - done, 0, in, bytes, done);
	return done;
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset)
{
	char room[PATH_MAX];
	const char *in = inside_fd(fd, room);
	if (!in)
		return syscall(SYS_pwrite64, fd, bytes, count, offset);
	ssize_t done;
	IN_ORDER(done = syscall(SYS_pwrite64, fd, bytes, count, offset), in, done > 0, WROTE, offset, 0, in, bytes, done);
	return done;
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset)
{
	return pwrite64(fd, bytes, count, offset);
}

/* Vectors are written one part after the other: fewer bytes than asked for are allowed. */
ssize_t writev(int fd, const struct iovec *parts, int count)
{
	char room[PATH_MAX];
	if (!inside_fd(fd, room))
		return syscall(SYS_writev, fd, parts, count);
	for (int part = 0; part < count; part++)
		if (parts[part].iov_len)
			return write(fd, parts[part].iov_base, parts[part].iov_len);
	return 0;
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset)
{
	ssize_t all = 0;
	for (int part = 0; part < count; part++) {
		if (!parts[part].iov_len)
			continue;
		ssize_t done = pwrite64(fd, parts[part].iov_base, parts[part].iov_len, offset + all);
		if (done < 0)
			return all ? all : done;
		all += done;
		if ((size_t)done < parts[part].iov_len)
			break;
	}
	return all;
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
	return pwritev64(fd, parts, count, offset);
}

int ftruncate64(int fd, off64_t length)
{
	char room[PATH_MAX];
	const char *in = inside_fd(fd, room);
	if (!in)
		return syscall(SYS_ftruncate, fd, length);
	int done;
	IN_ORDER(done = syscall(SYS_ftruncate, fd, length), in, done == 0, TRUNCATED, length, 0, in, NULL, 0);
	return done;
}

int ftruncate(int fd, off_t length)
{
	return ftruncate64(fd, length);
}

static int renamed(int from_at, const char *from, int to_at, const char *to, unsigned flags)
{
	char from_room[PATH_MAX], to_room[PATH_MAX];
	const char *in = inside_at(from_at, from, from_room), *out = inside_at(to_at, to, to_room);
	if (!in != !out) {
		errno = EXDEV;
		die("a rename into or out of the folder");
	}
	if (!in)
		return syscall(SYS_renameat2, from_at, from, to_at, to, flags);
	int done;
	IN_ORDER(done = syscall(SYS_renameat2, from_at, from, to_at, to, flags), in, done == 0, RENAMED, 0, 0, in, out, strlen(out));
	return done;
}

int rename(const char *from, const char *to)
{
	return renamed(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int renameat(int from_at, const char *from, int to_at, const char *to)
{
	return renamed(from_at, from, to_at, to, 0);
}

int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags)
{
	return renamed(from_at, from, to_at, to, flags);
}

int unlinkat(int at, const char *path, int flags)
{
	char room[PATH_MAX];
	const char *in = inside_at(at, path, room);
	if (!in)
		return syscall(SYS_unlinkat, at, path, flags);
	int done;
	IN_ORDER(done = syscall(SYS_unlinkat, at, path, flags), in, done == 0, UNLINKED, 0, 0, in, NULL, 0);
	return done;
}

int unlink(const char *path)
{
	return unlinkat(AT_FDCWD, path, 0);
}

int rmdir(const char *path)
{
	return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int mkdirat(int at, const char *path, mode_t mode)
{
	char room[PATH_MAX];
	const char *in = inside_at(at, path, room);
	if (!in)
		return syscall(SYS_mkdirat, at, path, mode);
	int done;
	IN_ORDER(done = syscall(SYS_mkdirat, at, path, mode), in, done == 0, MADE_FOLDER, 0, 0, in, NULL, 0);
	return done;
}

int mkdir(const char *path, mode_t mode)
{
	return mkdirat(AT_FDCWD, path, mode);
}

/* The number tells which end belongs to which begin. */
static int synced(int fd, long call)
{
	static uint64_t numbers;
	char room[PATH_MAX];
	const char *in = inside_fd(fd, room);
	if (!in)
		return syscall(call, fd);
	uint64_t number;
	int done;
	IN_ORDER(number = ++numbers, in, 1, SYNC_BEGINS, number, 0, in, NULL, 0);
	done = syscall(call, fd);
	IN_ORDER(, in, done == 0, SYNCED, number, 0, in, NULL, 0);
	return done;
}

int fsync(int fd)
{
	return synced(fd, SYS_fsync);
}

int fdatasync(int fd)
{
	return synced(fd, SYS_fdatasync);
}

/* More than promised here would be taken from it: of the whole disk only this file counts. */
int syncfs(int fd)
{
	return synced(fd, SYS_syncfs);
}

int sync_file_range(int fd, off64_t offset, off64_t count, unsigned flags)
{
	char room[PATH_MAX];
	const char *in = inside_fd(fd, room);
	int done = syscall(SYS_sync_file_range, fd, offset, count, flags);
	if (in)
		IN_ORDER(, in, done == 0, RANGE_SYNCED, offset, count, in, NULL, 0);
	return done;
}
