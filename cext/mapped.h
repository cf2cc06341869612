/* Windows of files, mapped to be read.  Where a file is cut off under one, there are zeros then: a SIGBUS for what is read
   there would end the process. */
#ifndef CLOUDMRI_MAPPED_H
#define CLOUDMRI_MAPPED_H
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MOST_WINDOWS = 64 };                                                    /* at a time; whoever gets none reads */

struct Window {
    uint8_t *volatile p;                                                       /* NULL: nobody's */
    volatile size_t n;
    volatile sig_atomic_t cut;                                                 /* its file was, while it was there */
};

static struct Window windows[MOST_WINDOWS];
static struct sigaction others;                                                /* what was done before about SIGBUS */
static uintptr_t page_size;

/* From the page on that is not there any more, the window is nobody's file. */
static void on_sigbus(int number, siginfo_t *about, void *context) {
    uint8_t *at = (uint8_t *)about->si_addr, *page = at - (uintptr_t)at % page_size;
    (void)number; (void)context;
    for (struct Window *w = windows; w < windows + MOST_WINDOWS; w++)
        if (w->p && at >= w->p && at < w->p + w->n) {
            size_t rest = (size_t)(w->p + w->n - page);
            if (mmap(page, rest, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) break;
            w->cut = 1;
            return;
        }
    sigaction(SIGBUS, &others, NULL);                                          /* not ours: it comes again, to them */
}

/* Bytes of a page: windows begin at one. */
static size_t page_bytes(void) {
    if (!page_size) page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
    return page_size;
}

/* n bytes of a file from at on; NULL: no window is left, or the file cannot be mapped.  One thread at a time. */
static struct Window *map_window(int fd, uint64_t at, size_t n) {
    static int watched = 0;
    struct Window *w = windows;
    void *p;
    while (w < windows + MOST_WINDOWS && w->p) w++;
    if (w == windows + MOST_WINDOWS) return NULL;
    if (!watched) {
        struct sigaction ours = {0};
        ours.sa_sigaction = on_sigbus;
        ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
        if (sigaction(SIGBUS, &ours, &others)) return NULL;
        watched = 1;
    }
    p = mmap(NULL, n, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, (off_t)at);
    if (p == MAP_FAILED) return NULL;
    w->n = n; w->cut = 0; w->p = (uint8_t *)p;
    return w;
}

static void unmap_window(struct Window *w) {
    uint8_t *p = w->p;
    w->p = NULL;
    munmap(p, w->n);
}
#endif
