/*
 * The floor of a comparison: looks at every entry of a source and of an installed tree once, and does nothing else.
 *
 *   stat_floor SOURCE INSTALLED
 *
 * Each directory is opened and listed (openat, getdents64, close); each entry gets one fstatat that does not follow links.
 * In SOURCE what a link points to gets a second fstatat, since there the content lies behind the link; in INSTALLED it does not,
 * since the files behind the links are entries of that tree themselves. One thread, no output per entry, nothing is opened
 * but directories. The number of calls is printed at the end.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum links { ONLY_LINKS, AND_TARGETS };

static unsigned long stats, directories;
/* Keeps the answers alive, so that no compiler drops what made them. */
static uint64_t sum;

static void fail(const char *name)
{
    fprintf(stderr, "stat_floor: %s: %s\n", name, strerror(errno));
    exit(1);
}

static mode_t look(int dir, const char *name, int flags)
{
    struct stat st;
    if (fstatat(dir, name, &st, flags) != 0)
        fail(name);
    stats++;
    sum += (uint64_t)st.st_ino ^ (uint64_t)st.st_size ^ (uint64_t)st.st_mtim.tv_nsec ^ (uint64_t)st.st_ctim.tv_nsec;
    return st.st_mode;
}

static void walk(int parent, const char *name, enum links links)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    if (dir == NULL)
        fail(name);
    directories++;
    while ((errno = 0, entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        mode_t mode = look(fd, entry->d_name, AT_SYMLINK_NOFOLLOW);
        if (S_ISDIR(mode))
            walk(fd, entry->d_name, links);
        else if (S_ISLNK(mode) && links == AND_TARGETS)
            look(fd, entry->d_name, 0);
    }
    if (errno != 0)
        fail(name);
    closedir(dir);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: stat_floor SOURCE INSTALLED\n");
        return 1;
    }
    walk(AT_FDCWD, argv[1], AND_TARGETS);
    walk(AT_FDCWD, argv[2], ONLY_LINKS);
    printf("%lu stats, %lu directories listed, %llx\n", stats, directories, (unsigned long long)sum);
    return 0;
}
