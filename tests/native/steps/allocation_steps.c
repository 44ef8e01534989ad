/* Random steps through Python's allocators, the C library's and mmap, beside a reference of what must be counted.
 *
 * A place is a line of Python that calls take(arg) and nothing else: between its call and its return the interpreter
 * itself allocates nothing, so the profiler's row for that line must equal the reference to the byte and the count. */
#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { RAW, MEM, OBJECT, LIBC, MAP, COPY, KINDS };
/* Python's domain, the native one, mappings, and what the C library asked of malloc on its own account. */
enum { PLACES = 64, BLOCKS = 1 << 14, ROWS = 4, MAILBOXES = 4096 };
static const int row_of[KINDS] = {0, 0, 0, 1, 2, 3};

/* One row for each place and kind of site: the columns that Python reads. */
typedef struct {
    int64_t count, bytes, freed_count, freed_bytes, peak, largest;
} Row;

typedef struct {
    char* address;
    size_t size; /* as asked for; of mappings whole pages */
    int32_t kind, place;
} Block;

static Row rows[PLACES][ROWS];
static Block blocks[BLOCKS];
static size_t block_count, page;
static uint64_t state;
static int64_t steps_done, failures_seen;

static uint64_t draw(uint64_t* from) {
    uint64_t x = *from;
    x ^= x >> 12, x ^= x << 25, x ^= x >> 27;
    return (*from = x) * 0x2545f4914f6cdd1dULL >> 11;
}
static uint64_t below(uint64_t limit) {
    return draw(&state) % limit;
}

static void count_in(const Block* block) {
    Row* row = &rows[block->place][row_of[block->kind]];
    row->count += 1, row->bytes += (int64_t)block->size;
    if (row->bytes - row->freed_bytes > row->peak) row->peak = row->bytes - row->freed_bytes;
    if ((int64_t)block->size > row->largest) row->largest = (int64_t)block->size;
}
static void count_out(const Block* block) {
    Row* row = &rows[block->place][row_of[block->kind]];
    row->freed_count += 1, row->freed_bytes += (int64_t)block->size;
}

static size_t random_size(uint64_t* from) {
    switch (draw(from) % 40) {
        case 0:
            return 0;
        case 1:
            return 65535 + draw(from) % 3 - 1; /* where records change their form */
        case 2:
            return 500 + draw(from) % 30; /* where small objects end */
        case 3:
            return draw(from) % 400000;
        default:
            return draw(from) % 300;
    }
}
/* No allocator gives so much. */
static size_t too_much(void) {
    return (size_t)PTRDIFF_MAX - below(1000);
}

static void release(Block* block) {
    switch (block->kind) {
        case RAW:
            PyMem_RawFree(block->address);
            break;
        case MEM:
            PyMem_Free(block->address);
            break;
        case OBJECT:
            PyObject_Free(block->address);
            break;
        case LIBC:
        case COPY:
            free(block->address);
            break;
        default:
            munmap(block->address, block->size);
    }
}

static void* take_from_libc(int* kind, size_t* size) {
    void* block = NULL;
    switch (below(8)) {
        case 0:
            return calloc(1, *size);
        case 1:
            return reallocarray(NULL, 1, *size);
        case 2:
            return aligned_alloc(64, *size = (*size + 63) / 64 * 64);
        case 3:
            return posix_memalign(&block, 32, *size) == 0 ? block : NULL;
        case 4:
            return memalign(128, *size);
        case 5: {
            char text[300];
            const size_t length = *size % sizeof text;
            memset(text, 'x', length), text[length ? length - 1 : 0] = 0;
            *size = strlen(text) + 1;
            *kind = COPY; /* whose malloc the C library calls */
            return strdup(text);
        }
        default:
            return malloc(*size);
    }
}

static void* take_block(int* kind, size_t* size) {
    switch (*kind) {
        case RAW:
            return below(4) ? PyMem_RawMalloc(*size) : PyMem_RawCalloc(1, *size);
        case MEM:
            return below(4) ? PyMem_Malloc(*size) : PyMem_Calloc(1, *size);
        case OBJECT:
            return below(4) ? PyObject_Malloc(*size) : PyObject_Calloc(1, *size);
        case LIBC:
            return take_from_libc(kind, size);
        default: {
            *size = (1 + *size % 32) * page;
            void* start = mmap(NULL, *size - below(page), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            return start == MAP_FAILED ? NULL : start;
        }
    }
}

static void* resize(Block* block, size_t size) {
    switch (block->kind) {
        case RAW:
            return PyMem_RawRealloc(block->address, size);
        case MEM:
            return PyMem_Realloc(block->address, size);
        case OBJECT:
            return PyObject_Realloc(block->address, size);
        case LIBC:
        case COPY:
            return below(4) ? realloc(block->address, size) : reallocarray(block->address, 1, size);
        default: {
            void* start = mremap(block->address, block->size, size, MREMAP_MAYMOVE);
            return start == MAP_FAILED ? NULL : start;
        }
    }
}

static int damaged(const Block* block) {
    return block->size > 0 && block->address[0] != (char)(uintptr_t)block->address;
}
static void sign(Block* block) {
    if (block->size > 0) block->address[0] = (char)(uintptr_t)block->address;
}

static void put(Block block) {
    blocks[block_count++] = block;
}

/* The part of a mapping in the middle goes: what is left is two mappings of the place that made it. */
static void punch(size_t at, Block block) {
    const size_t pages = block.size / page;
    const size_t first = below(pages), some = 1 + below(pages - first);
    if (munmap(block.address + first * page, some * page) != 0) return;
    count_out(&block);
    blocks[at] = blocks[--block_count];
    Block left = block, right = block;
    left.size = first * page;
    right.address = block.address + (first + some) * page, right.size = (pages - first - some) * page;
    /* The order in which the profiler charges them does not matter to counts; the peak is that of both. */
    if (right.size) count_in(&right), sign(&right), put(right);
    if (left.size) count_in(&left), put(left);
}

static int step(int place) {
    const uint64_t what = below(100);
    ++steps_done;
    if (block_count < 64 || (what < 45 && block_count < BLOCKS - 4)) {
        Block block = {NULL, random_size(&state), (int32_t)below(16), place};
        block.kind = block.kind < 4    ? RAW
                     : block.kind < 7  ? MEM
                     : block.kind < 12 ? OBJECT
                     : block.kind < 15 ? LIBC
                                       : MAP;
        block.address = take_block(&block.kind, &block.size);
        if (block.address == NULL) return -1;
        count_in(&block), sign(&block), put(block);
        return 0;
    }
    const size_t at = below(block_count);
    Block* block = &blocks[at];
    if (damaged(block)) return -2;
    if (what < 70 || block_count >= BLOCKS - 4) {
        count_out(block);
        release(block);
        blocks[at] = blocks[--block_count];
    } else if (what < 93) {
        size_t size = random_size(&state);
        if (block->kind == MAP) size = (1 + size % 32) * page;
        const int of_the_heap = block->kind == LIBC || block->kind == COPY;
        if (of_the_heap && size == 0) size = 1;
        char* moved = resize(block, size);
        if (moved == NULL) return -3;
        count_out(block);
        block->address = moved, block->size = size, block->place = place;
        if (of_the_heap) block->kind = LIBC;
        count_in(block), sign(block);
    } else if (what < 95) {
        if (block->kind == LIBC || block->kind == COPY) { /* realloc to nothing is free */
            count_out(block);
            if (realloc(block->address, 0) != NULL) return -4;
            blocks[at] = blocks[--block_count];
        } else if (block->kind == MAP) {
            punch(at, *block);
        }
    } else { /* what fails changes nothing */
        ++failures_seen;
        size_t huge = too_much();
        if (what < 97) {
            if (resize(block, block->kind == MAP ? (size_t)1 << 60 : huge) != NULL) return -5;
            if (damaged(block)) return -6;
        } else if (PyMem_RawMalloc(huge) || PyMem_Malloc(huge) || PyObject_Malloc(huge) || malloc(huge) ||
                   calloc(huge, 8) || PyMem_RawCalloc(huge, 1) || PyObject_Calloc(huge, 2) || free == NULL) {
            return -7;
        }
        PyMem_RawFree(NULL), PyMem_Free(NULL), PyObject_Free(NULL), free(NULL);
    }
    return 0;
}

/* take(plan): plan is a bytearray of int64: place, steps, result. */
static PyObject* take(PyObject* module, PyObject* plan) {
    int64_t* words = (int64_t*)PyByteArray_AS_STRING(plan);
    int result = 0;
    for (int64_t i = 0; i < words[1] && result == 0; ++i) result = step((int)words[0]);
    words[2] = result;
    Py_RETURN_NONE;
}

/* The same without the GIL, C library and mappings only. */
static PyObject* take_detached(PyObject* module, PyObject* plan) {
    int64_t* words = (int64_t*)PyByteArray_AS_STRING(plan);
    Py_BEGIN_ALLOW_THREADS for (int64_t i = 0; i < words[1]; ++i) {
        Block block = {NULL, random_size(&state), below(4) ? LIBC : RAW, (int32_t)words[0]};
        if (block_count < BLOCKS - 4 && below(2)) {
            block.address = block.kind == LIBC ? malloc(block.size) : PyMem_RawMalloc(block.size);
            count_in(&block), sign(&block), put(block);
        } else if (block_count > 64) {
            const size_t at = below(block_count);
            if (blocks[at].kind == MEM || blocks[at].kind == OBJECT) continue;
            count_out(&blocks[at]);
            release(&blocks[at]);
            blocks[at] = blocks[--block_count];
        }
        ++steps_done;
    }
    Py_END_ALLOW_THREADS words[2] = 0;
    Py_RETURN_NONE;
}

/* Native threads, which have no Python: each returns what the others took. */
typedef struct {
    uint64_t seed;
    int64_t steps;
} Task;
static _Atomic(uint64_t*) mailboxes[MAILBOXES];
static _Atomic int64_t thread_sums[2][4]; /* by domain: count, bytes, freed count, freed bytes */

static void thread_in(int domain, size_t size) {
    thread_sums[domain][0] += 1, thread_sums[domain][1] += (int64_t)size;
}
static void thread_out(uint64_t* block) {
    thread_sums[block[1]][2] += 1, thread_sums[block[1]][3] += (int64_t)block[0];
}
static void* work(void* argument) {
    Task task = *(Task*)argument;
    uint64_t seed = task.seed * 0x9e3779b97f4a7c15ULL + 1;
    for (int64_t i = 0; i < task.steps; ++i) {
        const int domain = (int)(draw(&seed) % 2);
        const size_t size = 16 + random_size(&seed);
        uint64_t* block = NULL;
        if (draw(&seed) % 4 == 0) {
            block = atomic_exchange(&mailboxes[draw(&seed) % MAILBOXES], NULL);
            if (block != NULL) {
                const int kept = (int)block[1];
                thread_out(block);
                block = kept ? realloc(block, size) : PyMem_RawRealloc(block, size);
                block[0] = size, block[1] = (uint64_t)kept;
                thread_in(kept, size);
            }
        }
        if (block == NULL) {
            block = domain ? malloc(size) : PyMem_RawMalloc(size);
            block[0] = size, block[1] = (uint64_t)domain;
            thread_in(domain, size);
        }
        block = atomic_exchange(&mailboxes[draw(&seed) % MAILBOXES], block);
        if (block == NULL) continue;
        thread_out(block);
        block[1] ? free(block) : PyMem_RawFree(block);
    }
    return NULL;
}
/* run_threads(threads, steps of each, seed) */
static PyObject* run_threads(PyObject* module, PyObject* args) {
    int count;
    long long steps;
    unsigned long long seed;
    if (!PyArg_ParseTuple(args, "iLK", &count, &steps, &seed)) return NULL;
    static pthread_t threads[256];
    static Task tasks[256];
    Py_BEGIN_ALLOW_THREADS for (int i = 0; i < count; ++i) {
        tasks[i] = (Task){seed + (uint64_t)i + 1, steps};
        pthread_create(&threads[i], NULL, work, &tasks[i]);
    }
    for (int i = 0; i < count; ++i) pthread_join(threads[i], NULL);
    Py_END_ALLOW_THREADS Py_RETURN_NONE;
}

/* Makes room in Python's arenas, and holds on to it: an arena made during a step would count on the step's line. */
static PyObject* make_room(PyObject* module, PyObject* unused) {
    enum { COUNT = 60000 };
    static void* held[COUNT];
    for (int i = 0; i < COUNT; ++i) held[i] = PyObject_Malloc(512);
    for (int i = 0; i < COUNT; ++i) {
        if (i % 1000 != 0) PyObject_Free(held[i]);
    }
    Py_RETURN_NONE;
}
static PyObject* seed(PyObject* module, PyObject* number) {
    state = PyLong_AsUnsignedLongLong(number) * 0x9e3779b97f4a7c15ULL + 1;
    page = (size_t)sysconf(_SC_PAGESIZE);
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}
/* Everything that is live, returned. For all places in turn, since a place's frees may be made anywhere. */
static PyObject* give_all(PyObject* module, PyObject* unused) {
    while (block_count > 0) {
        count_out(&blocks[block_count - 1]);
        release(&blocks[--block_count]);
    }
    for (int i = 0; i < MAILBOXES; ++i) {
        uint64_t* block = atomic_exchange(&mailboxes[i], NULL);
        if (block == NULL) continue;
        thread_out(block);
        block[1] ? free(block) : PyMem_RawFree(block);
    }
    Py_RETURN_NONE;
}
/* Forgets what was counted, and the blocks with it: what is live is from before from now on. */
static PyObject* forget(PyObject* module, PyObject* unused) {
    for (size_t i = 0; i < block_count; ++i) release(&blocks[i]);
    block_count = 0, steps_done = failures_seen = 0;
    memset(rows, 0, sizeof rows);
    for (int i = 0; i < 8; ++i) thread_sums[i / 4][i % 4] = 0;
    Py_RETURN_NONE;
}
static PyObject* expected(PyObject* module, PyObject* unused) {
    return PyBytes_FromStringAndSize((const char*)rows, sizeof rows);
}
static PyObject* expected_of_threads(PyObject* module, PyObject* unused) {
    return PyBytes_FromStringAndSize((const char*)thread_sums, sizeof thread_sums);
}
static PyObject* progress(PyObject* module, PyObject* unused) {
    return Py_BuildValue("(LLn)", (long long)steps_done, (long long)failures_seen, (Py_ssize_t)block_count);
}

static PyMethodDef methods[] = {{"take", take, METH_O, NULL},
                                {"take_detached", take_detached, METH_O, NULL},
                                {"run_threads", run_threads, METH_VARARGS, NULL},
                                {"make_room", make_room, METH_NOARGS, NULL},
                                {"seed", seed, METH_O, NULL},
                                {"give_all", give_all, METH_NOARGS, NULL},
                                {"forget", forget, METH_NOARGS, NULL},
                                {"expected", expected, METH_NOARGS, NULL},
                                {"expected_of_threads", expected_of_threads, METH_NOARGS, NULL},
                                {"progress", progress, METH_NOARGS, NULL},
                                {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "allocation_steps", NULL, -1, methods, NULL, NULL, NULL, NULL};
PyMODINIT_FUNC PyInit_allocation_steps(void) {
    return PyModule_Create(&definition);
}
