// Where the interpreter is, read from its own structures. Everything we assume about CPython's insides is here and in
// docs/memory-model.md, version by version.
//
//   3.11  tstate->cframe->current_frame, frame->prev_instr, frame->f_code
//   3.12  the same; frames that C code pushed (FRAME_OWNED_BY_CSTACK) have a trampoline as their code
//   3.13  tstate->current_frame, frame->instr_ptr, frame->f_executable (None in such frames)
//
// Nothing here touches a reference count, allocates, or sets an exception.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#ifdef Py_GIL_DISABLED
#error "flyweight.memory reads frames under the GIL; free-threaded builds of CPython are not supported"
#endif
#if PY_VERSION_HEX < 0x030b0000 || PY_VERSION_HEX >= 0x030e0000
#error "flyweight.memory knows the frames of CPython 3.11, 3.12 and 3.13"
#endif

// C's atomics do not compile as C++; CPython's own fallback has the same layout.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma push_macro("HAVE_STD_ATOMIC")
#undef HAVE_STD_ATOMIC
#define Py_BUILD_CORE 1
#undef _PyGC_FINALIZED
#include <internal/pycore_code.h>
#include <internal/pycore_frame.h>
#if PY_VERSION_HEX < 0x030c0000
#include <internal/pycore_runtime.h>
#elif PY_VERSION_HEX < 0x030d0000
#include <internal/pycore_interp.h>
#endif
#undef Py_BUILD_CORE
#pragma pop_macro("HAVE_STD_ATOMIC")
#pragma GCC diagnostic pop

#include <sched.h>

#include <atomic>
#include <cstdint>

namespace flyweight::memory {

using Frame = _PyInterpreterFrame;

// 3.12 and later keep the state of the attached thread in a thread-local word (_Py_tss_tstate), which a function
// returns. Where libpython is a shared library that is two calls, so we read the word ourselves where we can. What is
// taken for granted then is checked once, when recording starts (find()), and where it does not hold the function is
// called as before:
//   - the word lies in the thread-local block of the library that defines the function, aligned;
//   - it holds the state while a thread is attached, and null while it is not;
//   - the block lies as far from the thread pointer in every thread (static thread-local storage: libraries that were
//     there when the program started).
class AttachedState {
  public:
#if PY_VERSION_HEX >= 0x030c0000 && defined(__x86_64__)
    static bool is_found() noexcept { return is_found_; }
    // Null too where the word is not known.
    static PyThreadState* at_a_glance() noexcept {
        PyThreadState* state;
        asm volatile("mov %%fs:(%1), %0" : "=r"(state) : "r"(offset_));
        return state;
    }
    // With the GIL, which is let go for a moment. Before the first hook is in.
    static void find() noexcept;

  private:
    static inline bool is_found_ = false;
    static inline intptr_t offset_ = 0;
#else
    static void find() noexcept {}
#endif
};

// The thread state of the thread that holds the GIL; the caller is that thread. May be null while Python starts or
// ends.
inline PyThreadState* attached_thread() noexcept {
#if PY_VERSION_HEX >= 0x030c0000 && defined(__x86_64__)
    if (AttachedState::is_found()) [[likely]]
        return AttachedState::at_a_glance();
#endif
#if PY_VERSION_HEX < 0x030c0000
    // One global, the same that PyThreadState_Get reads.
    return reinterpret_cast<PyThreadState*>(
        __atomic_load_n(reinterpret_cast<const uintptr_t*>(&_PyRuntime.gilstate.tstate_current), __ATOMIC_RELAXED));
#elif PY_VERSION_HEX < 0x030d0000
    return _PyThreadState_UncheckedGet();
#else
    return PyThreadState_GetUnchecked();
#endif
}

// The same without a call, for what has another way when the answer is null.
inline PyThreadState* attached_thread_at_a_glance() noexcept {
#if PY_VERSION_HEX >= 0x030c0000 && defined(__x86_64__)
    return AttachedState::at_a_glance();
#else
    return attached_thread();
#endif
}

// The calling thread's own state, if it ever ran Python, and whether it holds a GIL now.
struct OwnThread {
    PyThreadState* state;
    bool attached;
};

// For callers that may be any thread. A detached thread (between Py_BEGIN_ALLOW_THREADS and the end of them) still has
// its frames: nobody else runs them, and they keep their code objects. Only Python's end takes them away from under it;
// see DetachedReaders.
inline OwnThread own_thread() noexcept {
#if PY_VERSION_HEX < 0x030c0000
    // The global belongs to whoever holds the GIL; our own state tells whether that is us.
    PyThreadState* const mine = PyGILState_GetThisThreadState();
    if (mine != nullptr && mine == attached_thread()) return {mine, true};
#else
    if (PyThreadState* const current = attached_thread(); current != nullptr) return {current, true};
    PyThreadState* const mine = PyGILState_GetThisThreadState();
#endif
    return {mine, false};
}

// Python frees the states of threads that are still running when it ends. Before that, from an atexit callback, we
// close the door for detached threads and wait for those inside: nobody is reading when the states go.
class DetachedReaders {
  public:
    static bool enter() noexcept {
        readers_.fetch_add(1, std::memory_order_seq_cst);
        if (open_.load(std::memory_order_seq_cst)) return true;
        leave();
        return false;
    }
    static void leave() noexcept { readers_.fetch_sub(1, std::memory_order_release); }
    static void close() noexcept {
        open_.store(false, std::memory_order_seq_cst);
        while (readers_.load(std::memory_order_acquire) != 0) sched_yield();
    }
    static void reset_in_child() noexcept { readers_.store(0, std::memory_order_relaxed); }

  private:
    static inline std::atomic<bool> open_{true};
    static inline std::atomic<uint32_t> readers_{0};
};

inline Frame* current_frame(const PyThreadState* thread) noexcept {
#if PY_VERSION_HEX < 0x030d0000
    return thread->cframe->current_frame;
#else
    return thread->current_frame;
#endif
}

inline uintptr_t instruction(const Frame* frame) noexcept {
#if PY_VERSION_HEX < 0x030d0000
    return reinterpret_cast<uintptr_t>(frame->prev_instr);
#else
    return reinterpret_cast<uintptr_t>(frame->instr_ptr);
#endif
}

// The code a frame runs; null for frames of C code, for the interpreter's own shims, and for code that is being
// deallocated (a frame of 3.11 is still current while its last reference to the code goes).
inline PyCodeObject* code_of(const Frame* frame) noexcept {
#if PY_VERSION_HEX < 0x030c0000
    PyObject* code = reinterpret_cast<PyObject*>(frame->f_code);
#else
    if (frame->owner == FRAME_OWNED_BY_CSTACK) return nullptr;
#if PY_VERSION_HEX < 0x030d0000
    PyObject* code = reinterpret_cast<PyObject*>(frame->f_code);
#else
    PyObject* code = frame->f_executable;
#endif
#endif
    if (code == nullptr || !PyCode_Check(code) || Py_REFCNT(code) <= 0) return nullptr;
    auto* const result = reinterpret_cast<PyCodeObject*>(code);
#if PY_VERSION_HEX >= 0x030d0000
    // The shim that 3.13 puts under an inlined __init__: static, read-only, and nobody's place.
    if (result->co_flags & CO_NO_MONITORING_EVENTS) return nullptr;
#endif
    return result;
}

inline bool runs(const Frame* frame, const PyCodeObject* code) noexcept {
#if PY_VERSION_HEX < 0x030d0000
    return frame->f_code == code;
#else
    return frame->f_executable == reinterpret_cast<const PyObject*>(code);
#endif
}

// A local variable of a frame of the calling thread, which is attached; borrowed, null while it is not set. `inner` is
// the frame that this one called, if any. 3.11 takes a frame's locals away while it is still current: then its stack
// pointer is stored, as otherwise only while it waits for a Python function that it called without C in between.
inline PyObject* local_of(const Frame* frame, [[maybe_unused]] const Frame* inner, int slot) noexcept {
#if PY_VERSION_HEX < 0x030c0000
    if (frame->stacktop >= 0 && (inner == nullptr || inner->is_entry)) return nullptr;
#endif
    return frame->localsplus[slot];
}

// True when C code called this frame: native frames lie between it and its caller.
inline bool entered_from_c(const Frame* frame) noexcept {
#if PY_VERSION_HEX < 0x030c0000
    return frame->is_entry;
#else
    return frame->previous == nullptr || frame->previous->owner == FRAME_OWNED_BY_CSTACK;
#endif
}

// Bytes from the code's first instruction to the one at `address`; negative before the first.
inline int instruction_offset(PyCodeObject* code, uintptr_t address) noexcept {
    return static_cast<int>(static_cast<intptr_t>(address) - reinterpret_cast<intptr_t>(code->co_code_adaptive));
}

// Makes the main thread look for pending calls at its next bytecode boundary. Py_AddPendingCall does so by itself on
// 3.13; before, when called from another thread, it left that to the next time the main thread takes the GIL, which one
// that only computes never does. The word is what a signal sets; set in vain it costs a look at each boundary until
// then.
inline void wake_main_thread() noexcept {
#if PY_VERSION_HEX < 0x030d0000
    _Py_atomic_store_relaxed(&PyInterpreterState_Main()->ceval.eval_breaker, 1);
#endif
}

}  // namespace flyweight::memory
