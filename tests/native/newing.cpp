// A C++ library as the hooks meet it: it allocates through operator new, which another library defines.
#include <cstdlib>
#include <new>

#define EXPORT extern "C" __attribute__((visibility("default"), noinline))

constexpr std::align_val_t kLine{64};

// What is returned is kept for a moment, so that no call ends a function by a jump that hides who made it.
#define TAKE(name, ...)                     \
    EXPORT void* name(size_t size) {        \
        void* volatile block = __VA_ARGS__; \
        return block;                       \
    }
TAKE(take, operator new(size))
TAKE(take_array, operator new[](size))
TAKE(take_nothrow, operator new(size, std::nothrow))
TAKE(take_array_nothrow, operator new[](size, std::nothrow))
TAKE(take_aligned, operator new(size, kLine))
TAKE(take_array_aligned, operator new[](size, kLine))
TAKE(take_aligned_nothrow, operator new(size, kLine, std::nothrow))
TAKE(take_array_aligned_nothrow, operator new[](size, kLine, std::nothrow))
TAKE(take_from_malloc, std::malloc(size))

EXPORT void give(void* block) {
    std::free(block);
}
EXPORT bool refused(size_t size) {
    try {
        std::free(operator new(size));
    } catch (const std::bad_alloc&) {
        return true;
    }
    return false;
}
