// A queue of work that blocks, with threads of its own.
//
// Threads wait at a semaphore and not at a condition variable: those of glibc 2.27 to 2.40 lose a signal now and then
// (https://sourceware.org/bugzilla/show_bug.cgi?id=25847), and a lost signal here would be work that is never done.
#define _GNU_SOURCE
#include "clinux.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdlib.h>

typedef struct {
    void (*run)(void *context);
    void *context;
} work_item;

struct sealer_pool {
    pthread_mutex_t lock;
    /// Posted once for each piece of work, and once for each thread at the end.
    sem_t arrival;
    work_item *ring;
    size_t capacity, first, count;
    /// Threads that wait, or are about to.
    unsigned idle;
    unsigned threads, width;
    bool closed;
};

sealer_pool *sealer_pool_create(unsigned width) {
    sealer_pool *pool = calloc(1, sizeof *pool);
    // Without memory for a few words nothing can go on.
    if (pool == NULL) abort();
    pthread_mutex_init(&pool->lock, NULL);
    sem_init(&pool->arrival, 0, 0);
    pool->width = width == 0 ? 1 : width;
    return pool;
}

static void destroy(sealer_pool *pool) {
    pthread_mutex_destroy(&pool->lock);
    sem_destroy(&pool->arrival);
    free(pool->ring);
    free(pool);
}

static void *serve(void *argument) {
    sealer_pool *pool = argument;
    for (;;) {
        while (sem_wait(&pool->arrival) != 0 && errno == EINTR) {}
        pthread_mutex_lock(&pool->lock);
        pool->idle--;
        if (pool->count == 0) break;
        work_item item = pool->ring[pool->first];
        pool->first = (pool->first + 1) % pool->capacity;
        pool->count--;
        pthread_mutex_unlock(&pool->lock);
        item.run(item.context);
        pthread_mutex_lock(&pool->lock);
        pool->idle++;
        pthread_mutex_unlock(&pool->lock);
    }
    bool is_last = --pool->threads == 0;
    pthread_mutex_unlock(&pool->lock);
    if (is_last) destroy(pool);
    return NULL;
}

static void grow(sealer_pool *pool) {
    size_t larger = pool->capacity == 0 ? 64 : pool->capacity * 2;
    work_item *items = malloc(larger * sizeof *items);
    if (items == NULL) abort();
    for (size_t index = 0; index < pool->count; index++) {
        items[index] = pool->ring[(pool->first + index) % pool->capacity];
    }
    free(pool->ring);
    pool->ring = items;
    pool->capacity = larger;
    pool->first = 0;
}

static bool start_thread(void *(*function)(void *), void *argument) {
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    bool started = pthread_create(&thread, &attributes, function, argument) == 0;
    pthread_attr_destroy(&attributes);
    return started;
}

void sealer_pool_submit(sealer_pool *pool, void (*run)(void *context), void *context) {
    pthread_mutex_lock(&pool->lock);
    if (pool->count == pool->capacity) grow(pool);
    pool->ring[(pool->first + pool->count) % pool->capacity] = (work_item){run, context};
    pool->count++;
    // Threads that were woken for earlier work and have not taken it yet still count as idle, and that work as waiting.
    if (pool->count > pool->idle && pool->threads < pool->width) {
        if (start_thread(serve, pool)) {
            pool->threads++;
            pool->idle++;
        } else if (pool->threads == 0) {
            abort();
        }
    }
    sem_post(&pool->arrival);
    pthread_mutex_unlock(&pool->lock);
}

void sealer_pool_close(sealer_pool *pool) {
    pthread_mutex_lock(&pool->lock);
    pool->closed = true;
    bool has_threads = pool->threads > 0;
    for (unsigned thread = 0; thread < pool->threads; thread++) sem_post(&pool->arrival);
    pthread_mutex_unlock(&pool->lock);
    if (!has_threads) destroy(pool);
}
