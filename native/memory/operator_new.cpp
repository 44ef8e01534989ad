#include "memory/operator_new.h"

#include <atomic>
#include <cstring>
#include <iterator>
#include <utility>

namespace flyweight::memory {
namespace {

constexpr const char* kForms[] = {"_Znwm",                                // new
                                  "_Znam",                                // new[]
                                  "_ZnwmRKSt9nothrow_t",                  // ... (std::nothrow)
                                  "_ZnamRKSt9nothrow_t",                  //
                                  "_ZnwmSt11align_val_t",                 // ... of more than the usual alignment
                                  "_ZnamSt11align_val_t",                 //
                                  "_ZnwmSt11align_val_tRKSt9nothrow_t",   //
                                  "_ZnamSt11align_val_tRKSt9nothrow_t"};  //
constexpr size_t kFormCount = std::size(kForms);
constexpr size_t kMostDefinitions = 4;  // of one form

// All forms take two or three words in registers; one more than a function takes does it no harm.
using OperatorNew = void* (*)(uintptr_t, uintptr_t, uintptr_t);

// Set before the hook is reachable, and for good.
std::atomic<uintptr_t> definitions[kFormCount][kMostDefinitions];
std::atomic<uintptr_t> all_definitions[kFormCount * kMostDefinitions];
std::atomic<size_t> definition_count{0};

// A call of operator new that has not asked for its memory yet.
struct Call {
    void* caller;
    const char* frame;  // of the hook: the return address lies a word above
};
__thread Call call __attribute__((tls_model("initial-exec"))) = {nullptr, nullptr};

// An exception may pass through (this frame has nothing to clean up), so the note may outlive its call; see
// is_under_way.
template <size_t kForm, size_t kDefinition>
__attribute__((noinline)) void* hook_operator_new(uintptr_t size, uintptr_t second, uintptr_t third) {
    call = {__builtin_extract_return_addr(__builtin_return_address(0)),
            static_cast<const char*>(__builtin_frame_address(0))};
    const auto definition =
        reinterpret_cast<OperatorNew>(definitions[kForm][kDefinition].load(std::memory_order_relaxed));
    void* const block = definition(size, second, third);
    call = {nullptr, nullptr};
    return block;
}

template <size_t... kNumbers>
constexpr auto make_hooks(std::index_sequence<kNumbers...>) {
    struct {
        OperatorNew at[sizeof...(kNumbers)];
    } result{{hook_operator_new<kNumbers / kMostDefinitions, kNumbers % kMostDefinitions>...}};
    return result;
}
constinit const auto hooks = make_hooks(std::make_index_sequence<kFormCount * kMostDefinitions>());

// The definition asks for its memory a few frames below the hook. One that ended by an exception without having asked
// leaves its note behind: then the return address is no longer where it was, or the stack is another one.
constexpr ptrdiff_t kNear = 4096;
__attribute__((noinline)) bool is_under_way(const Call& noted) noexcept {
    const ptrdiff_t distance = noted.frame - static_cast<const char*>(__builtin_frame_address(0));
    if (distance <= 0 || distance > kNear) return false;
    void* address;
    std::memcpy(&address, noted.frame + sizeof(void*), sizeof address);
    return __builtin_extract_return_addr(address) == noted.caller;
}

}  // namespace

int operator_new_form(const char* name) noexcept {
    if (name[0] != '_' || name[1] != 'Z' || name[2] != 'n') return -1;
    for (size_t i = 0; i < kFormCount; ++i) {
        if (std::strcmp(kForms[i], name) == 0) return static_cast<int>(i);
    }
    return -1;
}

void* operator_new_hook(int form, uintptr_t definition) noexcept {
    for (size_t i = 0; i < kMostDefinitions; ++i) {
        std::atomic<uintptr_t>& known = definitions[form][i];
        const uintptr_t stands_for = known.load(std::memory_order_relaxed);
        if (stands_for == 0) {
            known.store(definition, std::memory_order_release);
            const size_t number = definition_count.load(std::memory_order_relaxed);
            all_definitions[number].store(definition, std::memory_order_relaxed);
            definition_count.store(number + 1, std::memory_order_release);
        } else if (stands_for != definition) {
            continue;
        }
        return reinterpret_cast<void*>(hooks.at[static_cast<size_t>(form) * kMostDefinitions + i]);
    }
    return nullptr;
}

uintptr_t operator_new_behind(int form, uintptr_t hook) noexcept {
    for (size_t i = 0; i < kMostDefinitions; ++i) {
        if (reinterpret_cast<uintptr_t>(hooks.at[static_cast<size_t>(form) * kMostDefinitions + i]) == hook) {
            return definitions[form][i].load(std::memory_order_relaxed);
        }
    }
    return 0;
}

size_t operator_new_definitions() noexcept {
    return definition_count.load(std::memory_order_acquire);
}

uintptr_t operator_new_definition(size_t number) noexcept {
    return all_definitions[number].load(std::memory_order_relaxed);
}

void* caller_of_operator_new(void* caller) noexcept {
    const Call noted = call;
    if (noted.caller == nullptr) [[likely]]
        return caller;
    call = {nullptr, nullptr};
    return is_under_way(noted) ? noted.caller : caller;
}

}  // namespace flyweight::memory
