// Threads for work that blocks, for timers, and, in the executable, for Swift's tasks.
//
// The executable runs all its tasks on one thread. With as many threads as cores, tasks now and then stayed suspended for ever
// although what they waited for had been delivered (about one `sealer run` in four on two cores, in the static release build only;
// with libdispatch's executor and with this one alike). The cause is not found yet; docs/architecture.md keeps what is known.
// One thread is enough: tasks only pass messages here, all that takes time runs in pools.
#define _GNU_SOURCE
#include "clinux.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

typedef struct {
    void (*run)(void *context);
    void *context;
} work_item;

struct sealer_pool {
    pthread_mutex_t lock;
    pthread_cond_t arrival;
    work_item *ring;
    size_t capacity, first, count;
    unsigned idle, threads, width;
    bool closed;
};

sealer_pool *sealer_pool_create(unsigned width) {
    sealer_pool *pool = calloc(1, sizeof *pool);
    // Without memory for a few words nothing can go on.
    if (pool == NULL) abort();
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->arrival, NULL);
    pool->width = width == 0 ? 1 : width;
    return pool;
}

static void destroy(sealer_pool *pool) {
    pthread_mutex_destroy(&pool->lock);
    pthread_cond_destroy(&pool->arrival);
    free(pool->ring);
    free(pool);
}

static void *serve(void *argument) {
    sealer_pool *pool = argument;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (pool->count == 0 && !pool->closed) {
            pool->idle++;
            pthread_cond_wait(&pool->arrival, &pool->lock);
            pool->idle--;
        }
        if (pool->count == 0) break;
        work_item item = pool->ring[pool->first];
        pool->first = (pool->first + 1) % pool->capacity;
        pool->count--;
        pthread_mutex_unlock(&pool->lock);
        item.run(item.context);
        pthread_mutex_lock(&pool->lock);
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
    // Threads that were woken for earlier work still count as idle: as many as there is work must be there.
    if (pool->count > pool->idle && pool->threads < pool->width) {
        if (start_thread(serve, pool)) {
            pool->threads++;
        } else if (pool->threads == 0) {
            abort();
        }
    }
    pthread_cond_signal(&pool->arrival);
    pthread_mutex_unlock(&pool->lock);
}

void sealer_pool_close(sealer_pool *pool) {
    pthread_mutex_lock(&pool->lock);
    pool->closed = true;
    bool has_threads = pool->threads > 0;
    pthread_cond_broadcast(&pool->arrival);
    pthread_mutex_unlock(&pool->lock);
    if (!has_threads) destroy(pool);
}

// MARK: - Timers

typedef struct timer {
    struct timer *next;
    struct timespec deadline;
    work_item item;
} timer;

static pthread_mutex_t timer_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t timer_change;
static timer *timers;
static bool timer_thread_runs;

static bool is_before(const struct timespec *left, const struct timespec *right) {
    return left->tv_sec != right->tv_sec ? left->tv_sec < right->tv_sec : left->tv_nsec < right->tv_nsec;
}

static pthread_once_t timer_once = PTHREAD_ONCE_INIT;

static void prepare_timers(void) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&timer_change, &attributes);
    pthread_condattr_destroy(&attributes);
}

static void *serve_timers(void *unused) {
    (void)unused;
    pthread_mutex_lock(&timer_lock);
    for (;;) {
        if (timers == NULL) {
            pthread_cond_wait(&timer_change, &timer_lock);
            continue;
        }
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (is_before(&now, &timers->deadline)) {
            struct timespec deadline = timers->deadline;
            pthread_cond_timedwait(&timer_change, &timer_lock, &deadline);
            continue;
        }
        timer *due = timers;
        timers = due->next;
        pthread_mutex_unlock(&timer_lock);
        due->item.run(due->item.context);
        free(due);
        pthread_mutex_lock(&timer_lock);
    }
    return NULL;
}

void sealer_timer_start(uint64_t nanoseconds, void (*run)(void *context), void *context) {
    pthread_once(&timer_once, prepare_timers);
    timer *new = malloc(sizeof *new);
    if (new == NULL) abort();
    clock_gettime(CLOCK_MONOTONIC, &new->deadline);
    new->deadline.tv_sec += (time_t)(nanoseconds / 1000000000);
    new->deadline.tv_nsec += (long)(nanoseconds % 1000000000);
    if (new->deadline.tv_nsec >= 1000000000) {
        new->deadline.tv_sec++;
        new->deadline.tv_nsec -= 1000000000;
    }
    new->item = (work_item){run, context};
    pthread_mutex_lock(&timer_lock);
    timer **place = &timers;
    while (*place != NULL && !is_before(&new->deadline, &(*place)->deadline)) place = &(*place)->next;
    new->next = *place;
    *place = new;
    if (!timer_thread_runs) {
        timer_thread_runs = start_thread(serve_timers, NULL);
        if (!timer_thread_runs) abort();
    }
    pthread_cond_signal(&timer_change);
    pthread_mutex_unlock(&timer_lock);
}

// MARK: - The global executor of Swift's tasks

typedef struct SwiftJob SwiftJob;
typedef __attribute__((swiftcall)) void (*enqueue_function)(SwiftJob *job);
typedef __attribute__((swiftcall)) void (*enqueue_hook)(SwiftJob *job, enqueue_function original);
extern enqueue_hook swift_task_enqueueGlobal_hook;
extern __attribute__((swiftcall)) void swift_job_run(SwiftJob *job, void *identity, uintptr_t implementation);

static sealer_pool *executor;

static void run_job(void *job) { swift_job_run(job, NULL, 0); }

static __attribute__((swiftcall)) void enqueue(SwiftJob *job, enqueue_function original) {
    (void)original;
    sealer_pool_submit(executor, run_job, job);
}

void sealer_run_tasks_on_one_thread(void) {
    executor = sealer_pool_create(1);
    swift_task_enqueueGlobal_hook = enqueue;
}
