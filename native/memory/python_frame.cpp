#include "memory/python_frame.h"

#if PY_VERSION_HEX >= 0x030c0000 && defined(__x86_64__)

#include <link.h>
#include <pthread.h>

#include <cstddef>
#include <utility>

namespace flyweight::memory {
namespace {

PyThreadState* asked_for() noexcept {
#if PY_VERSION_HEX < 0x030d0000
    return _PyThreadState_UncheckedGet();
#else
    return PyThreadState_GetUnchecked();
#endif
}

intptr_t thread_pointer() noexcept {
    intptr_t pointer;
    asm("mov %%fs:0, %0" : "=r"(pointer));
    return pointer;
}

// The calling thread's copy of the thread-local block of the library that defines `function`; empty where it has none.
struct Block {
    uintptr_t function;
    intptr_t start = 0;
    size_t size = 0;
};

int look_at(dl_phdr_info* info, size_t, void* result) {
    auto& block = *static_cast<Block*>(result);
    bool is_home = false;
    size_t size = 0;
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        const auto& header = info->dlpi_phdr[i];
        const uintptr_t start = info->dlpi_addr + header.p_vaddr;
        if (header.p_type == PT_LOAD && block.function - start < header.p_memsz) is_home = true;
        if (header.p_type == PT_TLS) size = header.p_memsz;
    }
    if (!is_home) return 0;
    if (info->dlpi_tls_data != nullptr) {
        block.start = reinterpret_cast<intptr_t>(info->dlpi_tls_data);
        block.size = size;
    }
    return 1;
}

Block own_block() noexcept {
#if PY_VERSION_HEX < 0x030d0000
    Block block{reinterpret_cast<uintptr_t>(&_PyThreadState_UncheckedGet)};
#else
    Block block{reinterpret_cast<uintptr_t>(&PyThreadState_GetUnchecked)};
#endif
    dl_iterate_phdr(look_at, &block);
    return block;
}

const void* word_at(intptr_t offset) noexcept {
    return *reinterpret_cast<void* const volatile*>(thread_pointer() + offset);
}

// On a thread of its own that has never run Python. Null: the word is where it should be, and empty.
void* check_elsewhere(void* expected) {
    const Block block = own_block();
    const auto [start, offset] = *static_cast<const std::pair<intptr_t, intptr_t>*>(expected);
    const bool is_there = block.start != 0 && block.start - thread_pointer() == start;
    return is_there && word_at(offset) == nullptr && asked_for() == nullptr ? nullptr : expected;
}

__thread void* nothing __attribute__((tls_model("initial-exec"))) = nullptr;

}  // namespace

void AttachedState::find() noexcept {
    static bool tried = false;
    if (tried) return;
    tried = true;
    offset_ = reinterpret_cast<intptr_t>(&nothing) - thread_pointer();
    PyThreadState* const state = asked_for();
    const Block block = own_block();
    const intptr_t start = block.start - thread_pointer();
    constexpr size_t kMostWords = 64;  // libpython has two to four; a program that has Python within it may have more
    constexpr ptrdiff_t kWord = sizeof(void*);
    intptr_t candidates[kMostWords];
    size_t count = 0;
    for (ptrdiff_t at = 0; at + kWord <= static_cast<ptrdiff_t>(block.size) && count < kMostWords; at += kWord) {
        if (word_at(start + at) == state) candidates[count++] = start + at;
    }
    if (state == nullptr || block.start == 0 || block.start % kWord != 0 || count == 0) return;
    PyThreadState* const saved = PyEval_SaveThread();
    size_t kept = 0;
    for (size_t i = 0; i < count; ++i) {
        if (word_at(candidates[i]) == nullptr && asked_for() == nullptr) candidates[kept++] = candidates[i];
    }
    PyEval_RestoreThread(saved);
    if (kept != 1 || word_at(candidates[0]) != state) return;
    std::pair<intptr_t, intptr_t> expected{start, candidates[0]};
    pthread_t thread;
    void* answer = &expected;
    if (pthread_create(&thread, nullptr, check_elsewhere, &expected) != 0) return;
    pthread_join(thread, &answer);
    if (answer != nullptr) return;
    offset_ = candidates[0];
    is_found_ = true;
}

}  // namespace flyweight::memory

#endif
