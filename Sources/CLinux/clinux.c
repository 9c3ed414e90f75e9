#define _GNU_SOURCE
#include "clinux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <nss.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

// A static glibc loads NSS modules of the host at run time, and crashes when they do not fit: name the built-in ones.
__attribute__((constructor)) static void sealer_configure_nss(void) {
    __nss_configure_lookup("hosts", "files dns");
    __nss_configure_lookup("passwd", "files");
    __nss_configure_lookup("group", "files");
}

int sealer_openat2(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve) {
    struct open_how how;
    memset(&how, 0, sizeof how);
    how.flags = flags;
    how.mode = mode;
    how.resolve = resolve;
    return (int)syscall(SYS_openat2, dirfd, path, &how, sizeof how);
}

const uint64_t sealer_resolve_beneath = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
const uint64_t sealer_resolve_no_symlinks = RESOLVE_NO_SYMLINKS;

int sealer_rename_noreplace(int olddirfd, const char *oldpath, int newdirfd, const char *newpath) {
    return renameat2(olddirfd, oldpath, newdirfd, newpath, RENAME_NOREPLACE);
}

const int sealer_o_path = O_PATH;
const int sealer_o_tmpfile = O_TMPFILE;
const int sealer_o_directory = O_DIRECTORY;
const int sealer_o_nofollow = O_NOFOLLOW;
const int sealer_o_cloexec = O_CLOEXEC;

int sealer_fsetxattr(int fd, const char *name, const void *value, size_t size) {
    return fsetxattr(fd, name, value, size, 0);
}

ssize_t sealer_lgetxattr(const char *path, const char *name, void *value, size_t size) {
    return lgetxattr(path, name, value, size);
}

ssize_t sealer_llistxattr(const char *path, char *list, size_t size) { return llistxattr(path, list, size); }

dev_t sealer_makedev(unsigned int major_number, unsigned int minor_number) {
    return makedev(major_number, minor_number);
}

unsigned int sealer_major(dev_t device) { return major(device); }
unsigned int sealer_minor(dev_t device) { return minor(device); }

ssize_t sealer_sendfile(int out, int in, off_t *offset, size_t count) { return sendfile(out, in, offset, count); }

ssize_t sealer_copy_file_range(int in, int out, size_t count) {
    return copy_file_range(in, NULL, out, NULL, count, 0);
}

int sealer_sync_file_range(int fd, int64_t offset, int64_t count) {
    return sync_file_range(fd, offset, count,
                           SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
}

int sealer_syncfs(int fd) { return syncfs(fd); }

int sealer_disk_space(const char *path, uint64_t *available, uint64_t *total) {
    struct statvfs information;
    if (statvfs(path, &information) != 0) return -1;
    *available = (uint64_t)information.f_bavail * information.f_frsize;
    *total = (uint64_t)information.f_blocks * information.f_frsize;
    return 0;
}

const unsigned int sealer_s_ifmt = S_IFMT, sealer_s_ifreg = S_IFREG, sealer_s_ifdir = S_IFDIR, sealer_s_iflnk = S_IFLNK,
                   sealer_s_ifchr = S_IFCHR, sealer_s_ifblk = S_IFBLK, sealer_s_ififo = S_IFIFO,
                   sealer_s_ifsock = S_IFSOCK;
