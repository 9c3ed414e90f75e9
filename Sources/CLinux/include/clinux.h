// System calls and constants that Swift's Glibc module does not show. Each wrapper returns what the call returns and leaves
// errno as the call left it.
#ifndef SEALER_CLINUX_H
#define SEALER_CLINUX_H

#include <stdint.h>
#include <sys/types.h>

/// openat2(2) with resolve flags; -1 and ENOSYS on kernels before 5.6.
int sealer_openat2(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve);
/// RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS.
extern const uint64_t sealer_resolve_beneath;
/// RESOLVE_NO_SYMLINKS, to be or-ed with the above.
extern const uint64_t sealer_resolve_no_symlinks;

/// renameat2(2) with RENAME_NOREPLACE.
int sealer_rename_noreplace(int olddirfd, const char *oldpath, int newdirfd, const char *newpath);

/// O_PATH, O_TMPFILE, O_DIRECTORY, O_NOFOLLOW, O_CLOEXEC.
extern const int sealer_o_path;
extern const int sealer_o_tmpfile;
extern const int sealer_o_directory;
extern const int sealer_o_nofollow;
extern const int sealer_o_cloexec;

/// lsetxattr(2) through /proc/self/fd is not possible for symbolic links; fsetxattr(2) for all else.
int sealer_fsetxattr(int fd, const char *name, const void *value, size_t size);
/// lgetxattr and llistxattr by path.
ssize_t sealer_lgetxattr(const char *path, const char *name, void *value, size_t size);
ssize_t sealer_llistxattr(const char *path, char *list, size_t size);

/// makedev(3), major(3), minor(3).
dev_t sealer_makedev(unsigned int major, unsigned int minor);
unsigned int sealer_major(dev_t device);
unsigned int sealer_minor(dev_t device);

/// sendfile(2) without the int-sized count.
ssize_t sealer_sendfile(int out, int in, off_t *offset, size_t count);

/// copy_file_range(2).
ssize_t sealer_copy_file_range(int in, int out, size_t count);

/// syncfs(2): writes back all of the file system that fd lies on.
int sealer_syncfs(int fd);

/// sync_file_range(2) that writes back a part of a file and waits for it.
int sealer_sync_file_range(int fd, int64_t offset, int64_t count);

/// Free and total bytes of the file system at path.
int sealer_disk_space(const char *path, uint64_t *available, uint64_t *total);

/// S_ISREG and friends as values of st_mode & S_IFMT.
extern const unsigned int sealer_s_ifmt, sealer_s_ifreg, sealer_s_ifdir, sealer_s_iflnk, sealer_s_ifchr, sealer_s_ifblk,
    sealer_s_ififo, sealer_s_ifsock;

/// A queue of work with up to `width` threads of its own; width 1 runs its work one after the other, in order.
typedef struct sealer_pool sealer_pool;
sealer_pool *sealer_pool_create(unsigned width);
/// Hands work over; `run` is called once, on a thread of the pool.
void sealer_pool_submit(sealer_pool *pool, void (*run)(void *context), void *context);
/// Says that no more work comes: the threads end, and the pool is freed, when all work is done.
void sealer_pool_close(sealer_pool *pool);

#endif
