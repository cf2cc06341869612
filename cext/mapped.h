/* Files mapped to be read, stretch by stretch.  Where a file is cut off under its mapping, there are zeros then: a SIGBUS
   for what is read there would end the process. */
#ifndef CLOUDMRI_MAPPED_H
#define CLOUDMRI_MAPPED_H
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    MOST_MAPPINGS = 64,                                                        /* at a time; whoever gets none reads */
    FAULT_AROUND = 1 << 16                                                     /* what Linux maps where a page is missed */
};

struct Mapping {
    uint8_t *volatile p;                                                       /* NULL: nobody's */
    volatile size_t n;
    volatile sig_atomic_t cut;                                                 /* its file was, while it was there */
    int fd;
    uint64_t end;                                                              /* in the file */
};

static struct Mapping mappings[MOST_MAPPINGS];
static struct sigaction others;                                                /* what was done before about SIGBUS */
static uintptr_t page_size;

/* Not ours: whoever was there before has it. */
static void pass_on(int number, siginfo_t *about, void *context) {
    if (others.sa_flags & SA_SIGINFO) others.sa_sigaction(number, about, context);
    else if (others.sa_handler != SIG_DFL && others.sa_handler != SIG_IGN) others.sa_handler(number);
    else {
        sigaction(SIGBUS, &others, NULL);                                      /* a fault comes again by itself */
        if (about->si_code <= 0) raise(number);                                /* what another process sent does not */
    }
}

/* From the page on that is not there any more, the mapping is nobody's file. */
static void on_sigbus(int number, siginfo_t *about, void *context) {
    uint8_t *at = (uint8_t *)about->si_addr, *page = at - (uintptr_t)at % page_size;
    for (struct Mapping *m = mappings; about->si_code > 0 && m < mappings + MOST_MAPPINGS; m++)
        if (m->p && at >= m->p && at < m->p + m->n) {
            size_t rest = (size_t)(m->p + m->n - page);
            if (mmap(page, rest, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) break;
            m->cut = 1;
            return;
        }
    pass_on(number, about, context);
}

static int watch(void) {
    struct sigaction now, ours = {0};
    ours.sa_sigaction = on_sigbus;
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
    if (sigaction(SIGBUS, NULL, &now)) return -1;
    if (now.sa_flags & SA_SIGINFO && now.sa_sigaction == on_sigbus) return 0;
    others = now;
    return sigaction(SIGBUS, &ours, NULL);
}

/* n bytes of a file from at on, where a page begins; NULL: no mapping is left, or the file cannot be mapped.  One thread
   at a time. */
static struct Mapping *map_file(int fd, uint64_t at, size_t n) {
    struct Mapping *m = mappings;
    void *p;
    while (m < mappings + MOST_MAPPINGS && m->p) m++;
    if (m == mappings + MOST_MAPPINGS || watch()) return NULL;
    p = mmap(NULL, n, PROT_READ, MAP_SHARED, fd, (off_t)at);
    if (p == MAP_FAILED) return NULL;
    page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
    m->n = n; m->cut = 0; m->fd = fd; m->end = at + n; m->p = (uint8_t *)p;
    return m;
}

/* Is the file shorter than the mapping now?  Of its last page the rest is zeros then, without a SIGBUS. */
static int is_shortened(const struct Mapping *m) {
    struct stat about;
    return m->cut || (fstat(m->fd, &about) == 0 && (uint64_t)about.st_size < m->end);
}

/* Has the pages of n bytes mapped, as far as they are in memory. */
static void touch(const volatile uint8_t *p, size_t n) {
    for (size_t at = 0; at < n; at += FAULT_AROUND) (void)p[at];
}

static void unmap_file(struct Mapping *m) {
    uint8_t *p = m->p;
    m->p = NULL;
    munmap(p, m->n);
}
#endif
