/* Windows of files, mapped to be read.  Where a file is cut off under one, there are zeros then: a SIGBUS for what is read
   there would end the process. */
#ifndef CLOUDMRI_MAPPED_H
#define CLOUDMRI_MAPPED_H
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_WINDOWS = 64 };                                                    /* at a time; whoever gets none reads */

struct Window {
    uint8_t *volatile p;                                                       /* NULL: nobody's */
    volatile size_t n;
    volatile sig_atomic_t cut;                                                 /* its file was, while it was there */
    int fd;
    uint64_t end;                                                              /* in the file */
};

static struct Window windows[MOST_WINDOWS];
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

/* From the page on that is not there any more, the window is nobody's file. */
static void on_sigbus(int number, siginfo_t *about, void *context) {
    uint8_t *at = (uint8_t *)about->si_addr, *page = at - (uintptr_t)at % page_size;
    for (struct Window *w = windows; about->si_code > 0 && w < windows + MOST_WINDOWS; w++)
        if (w->p && at >= w->p && at < w->p + w->n) {
            size_t rest = (size_t)(w->p + w->n - page);
            if (mmap(page, rest, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) break;
            w->cut = 1;
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

/* Bytes of a page: windows begin at one. */
static size_t page_bytes(void) {
    if (!page_size) page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
    return page_size;
}

/* n bytes of a file from at on; NULL: no window is left, or the file cannot be mapped.  One thread at a time. */
static struct Window *map_window(int fd, uint64_t at, size_t n) {
    struct Window *w = windows;
    void *p;
    while (w < windows + MOST_WINDOWS && w->p) w++;
    if (w == windows + MOST_WINDOWS || watch()) return NULL;
    p = mmap(NULL, n, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, (off_t)at);
    if (p == MAP_FAILED) return NULL;
    w->n = n; w->cut = 0; w->fd = fd; w->end = at + n; w->p = (uint8_t *)p;
    return w;
}

/* Is the file shorter than the window now?  Of its last page the rest is zeros then, without a SIGBUS. */
static int is_shortened(const struct Window *w) {
    struct stat about;
    return w->cut || (fstat(w->fd, &about) == 0 && (uint64_t)about.st_size < w->end);
}

static void unmap_window(struct Window *w) {
    uint8_t *p = w->p;
    w->p = NULL;
    munmap(p, w->n);
}
#endif
