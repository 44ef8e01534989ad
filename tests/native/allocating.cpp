// A library as the hooks meet them: it allocates through its own import slots.
#include <dlfcn.h>
#include <malloc.h>
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

#define EXPORT extern "C" __attribute__((visibility("default"), noinline))

EXPORT void* take(size_t size) {
    return malloc(size);
}
EXPORT void* take_zeroed(size_t count, size_t size) {
    return calloc(count, size);
}
EXPORT void* take_again(void* block, size_t size) {
    return realloc(block, size);
}
EXPORT void* take_array(void* block, size_t count, size_t size) {
    return reallocarray(block, count, size);
}
EXPORT void* take_aligned(size_t alignment, size_t size) {
    return aligned_alloc(alignment, size);
}
EXPORT void* take_memalign(size_t alignment, size_t size) {
    return memalign(alignment, size);
}
EXPORT void* take_pages(size_t size) {
    return valloc(size);
}
EXPORT int take_posix(void** block, size_t alignment, size_t size) {
    return posix_memalign(block, alignment, size);
}
EXPORT char* take_copy(const char* text) {
    return strdup(text);
}
EXPORT void give(void* block) {
    free(block);
}
EXPORT void* map(size_t size) {
    return mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}
EXPORT int unmap(void* start, size_t size) {
    return munmap(start, size);
}
EXPORT void* remap(void* start, size_t old_size, size_t size, int flags) {
    return mremap(start, old_size, size, flags);
}
EXPORT void* map_at(void* start, size_t size) {
    return mmap(start, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}
EXPORT void* find(const char* name) {
    return dlsym(RTLD_DEFAULT, name);
}
EXPORT void* load(const char* name) {
    return dlopen(name, RTLD_NOW | RTLD_LOCAL);
}
EXPORT int unload(void* library) {
    return dlclose(library);
}
