#include "memory/import_table.h"

#include <elf.h>
#include <link.h>
#include <linux/futex.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "memory/library_map.h"
#include "memory/operator_new.h"

namespace flyweight::memory {
namespace {

#if defined(__x86_64__)
constexpr uint32_t kJumpSlot = R_X86_64_JUMP_SLOT, kGlobalData = R_X86_64_GLOB_DAT, kPointer = R_X86_64_64;
#elif defined(__aarch64__)
constexpr uint32_t kJumpSlot = R_AARCH64_JUMP_SLOT, kGlobalData = R_AARCH64_GLOB_DAT, kPointer = R_AARCH64_ABS64;
#else
#error "the native heap's hooks know the relocations of x86-64 and aarch64 only"
#endif

using Slot = std::atomic<uintptr_t>;
static_assert(sizeof(Slot) == sizeof(Elf64_Addr) && Slot::is_always_lock_free);

struct Range {
    uintptr_t start = 0, end = 0;
    bool holds(uintptr_t address) const { return address - start < end - start; }
};

// One object of the loader's list, as far as its import slots go.
class LoadedObject {
  public:
    explicit LoadedObject(const dl_phdr_info& info) : base_(info.dlpi_addr), info_(info) {
        const uintptr_t page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
        const ElfW(Dyn)* dynamic = nullptr;
        for (int i = 0; i < info.dlpi_phnum; ++i) {
            const auto& header = info.dlpi_phdr[i];
            if (header.p_type == PT_DYNAMIC) dynamic = reinterpret_cast<const ElfW(Dyn)*>(base_ + header.p_vaddr);
            if (header.p_type == PT_GNU_RELRO) {
                // Rounded as the loader rounds: a last page that is shared with ordinary data stays writable.
                const uintptr_t start = base_ + header.p_vaddr;
                relro_ = {start & ~(page - 1), (start + header.p_memsz) & ~(page - 1)};
            }
        }
        if (dynamic != nullptr) read_dynamic(dynamic);
    }

    bool has_imports() const { return symbols_ != nullptr && strings_ != nullptr; }
    bool is_at(uintptr_t address) const { return address != 0 && find_segment(address, 0); }
    bool executes(uintptr_t address) const { return find_segment(address, PF_X); }
    bool may_write(uintptr_t address) const { return find_segment(address, PF_W); }
    uintptr_t address_of(const ElfW(Sym) & symbol) const { return base_ + symbol.st_value; }
    const Range& relro() const { return relro_; }

    template <class Visit>
    void each_slot(Visit&& visit) const {
        for (const Table& table : tables_) {
            for (size_t i = table.relative; i < table.count; ++i) {
                const ElfW(Rela) & relocation = table.first[i];
                const auto type = static_cast<uint32_t>(ELF64_R_TYPE(relocation.r_info));
                if (type != kJumpSlot && type != kGlobalData && type != kPointer) continue;
                const uintptr_t at = base_ + relocation.r_offset;
                if (at % sizeof(uintptr_t) != 0 || (type == kPointer && relocation.r_addend != 0)) continue;
                const ElfW(Sym) & symbol = symbols_[ELF64_R_SYM(relocation.r_info)];
                if (symbol.st_name == 0 || symbol.st_name >= strings_size_) continue;
                visit(reinterpret_cast<Slot*>(at), strings_ + symbol.st_name, symbol, type);
            }
        }
    }

  private:
    struct Table {
        const ElfW(Rela) * first = nullptr;
        size_t count = 0, relative = 0;  // relative ones come first and have no symbol
    };

    void read_dynamic(const ElfW(Dyn) * entry) {
        bool plt_is_rela = true;
        size_t rela_bytes = 0, plt_bytes = 0;
        for (; entry->d_tag != DT_NULL; ++entry) {
            switch (entry->d_tag) {
                case DT_SYMTAB:
                    symbols_ = pointer<ElfW(Sym)>(*entry);
                    break;
                case DT_STRTAB:
                    strings_ = pointer<char>(*entry);
                    break;
                case DT_STRSZ:
                    strings_size_ = entry->d_un.d_val;
                    break;
                case DT_RELA:
                    tables_[0].first = pointer<ElfW(Rela)>(*entry);
                    break;
                case DT_RELASZ:
                    rela_bytes = entry->d_un.d_val;
                    break;
                case DT_RELACOUNT:
                    tables_[0].relative = entry->d_un.d_val;
                    break;
                case DT_JMPREL:
                    tables_[1].first = pointer<ElfW(Rela)>(*entry);
                    break;
                case DT_PLTRELSZ:
                    plt_bytes = entry->d_un.d_val;
                    break;
                case DT_PLTREL:
                    plt_is_rela = entry->d_un.d_val == DT_RELA;
                    break;
                default:
                    break;
            }
        }
        if (tables_[0].first != nullptr) tables_[0].count = rela_bytes / sizeof(ElfW(Rela));
        if (tables_[1].first != nullptr && plt_is_rela) tables_[1].count = plt_bytes / sizeof(ElfW(Rela));
    }

    // The loader turns the addresses of a dynamic section into absolute ones where it can write to it.
    template <class T>
    const T* pointer(const ElfW(Dyn) & entry) const {
        uintptr_t address = entry.d_un.d_ptr;
        if (!find_segment(address, PF_R)) address += base_;
        return find_segment(address, PF_R) ? reinterpret_cast<const T*>(address) : nullptr;
    }

    bool find_segment(uintptr_t address, uint32_t flags) const {
        for (int i = 0; i < info_.dlpi_phnum; ++i) {
            const auto& header = info_.dlpi_phdr[i];
            if (header.p_type != PT_LOAD || (header.p_flags & flags) != flags) continue;
            if (address - (base_ + header.p_vaddr) < header.p_memsz) return true;
        }
        return false;
    }

    uintptr_t base_;
    const dl_phdr_info& info_;
    Range relro_;
    const ElfW(Sym) * symbols_ = nullptr;
    const char* strings_ = nullptr;
    size_t strings_size_ = 0;
    Table tables_[2];
};

// Whether the page can be written, without changing it: an atomic "or 0" done by the kernel. Where the kernel does not
// answer (a sandbox without this call) the page is taken for what it nearly always is, read-only.
bool is_writable(const void* address) {
    uint32_t unrelated = 0;
    auto* word = reinterpret_cast<uint32_t*>(reinterpret_cast<uintptr_t>(address) & ~uintptr_t{3});
    const int operation = FUTEX_OP(FUTEX_OP_OR, 0, FUTEX_OP_CMP_EQ, 0);
    return syscall(SYS_futex, &unrelated, FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 0, nullptr, word, operation) >= 0;
}

// Opens an object's relocated data for writing when the first slot there is to be changed, and closes it again.
class RelocatedData {
  public:
    RelocatedData(const Range& range, bool insist) : range_(range), insist_(insist) {}
    ~RelocatedData() {
        if (state_ == State::opened)
            mprotect(reinterpret_cast<void*>(range_.start), range_.end - range_.start, PROT_READ);
    }
    RelocatedData(const RelocatedData&) = delete;
    RelocatedData& operator=(const RelocatedData&) = delete;

    bool open_for(const Slot* slot) {
        if (!range_.holds(reinterpret_cast<uintptr_t>(slot))) return true;
        if (state_ == State::closed) state_ = open();
        return state_ != State::refused;
    }
    // The loader makes the range read-only when it has relocated the object. Until then another thread's dlopen is at
    // work on it, and closing the range under its hands would be a crash.
    bool in_progress() const { return in_progress_; }

  private:
    enum class State { closed, opened, writable, refused };

    State open() {
        auto* start = reinterpret_cast<void*>(range_.start);
        if (is_writable(start)) {
            in_progress_ = !insist_;
            return insist_ ? State::writable : State::refused;
        }
        return mprotect(start, range_.end - range_.start, PROT_READ | PROT_WRITE) == 0 ? State::opened : State::refused;
    }

    Range range_;
    bool insist_;
    bool in_progress_ = false;
    State state_ = State::closed;
};

class ImportVisitor {
  public:
    ImportVisitor(ImportPass pass, const ImportedFunctions& functions, int skip, bool insist, PatchedSlots* patched)
        : functions_(functions), patching_(pass == ImportPass::patch), skip_(skip), insist_(insist), patched_(patched) {
        for (size_t i = 0; i < functions.count; ++i) first_letters_ |= letter(functions.first[i].name);
        first_letters_ |= letter("_Znwm");
    }

    void visit(const dl_phdr_info& info) {
        if (tally.libraries++ < skip_) return;
        const LoadedObject object(info);
        if (!object.has_imports() || is_off_limits(object)) return;
        const bool is_python = object.is_at(reinterpret_cast<uintptr_t>(functions_.python_home));
        const bool defines_new = defines_operator_new([&](uintptr_t address) { return object.executes(address); });
        const int hooked_before = hooked_;
        RelocatedData relocated(object.relro(), insist_);
        object.each_slot([&](Slot* slot, const char* name, const ElfW(Sym) & symbol, uint32_t type) {
            if (!(first_letters_ & letter(name))) return;
            if (const int form = operator_new_form(name); form >= 0) {
                if (!object.may_write(reinterpret_cast<uintptr_t>(slot))) return;
                return visit_operator_new(*slot, form, object, type, relocated);
            }
            const ImportedFunction* function = find(name);
            if (function == nullptr || (is_python && function->of_the_heap && patching_)) return;
            if (!object.may_write(reinterpret_cast<uintptr_t>(slot))) return;
            const uintptr_t current = slot->load(std::memory_order_relaxed);
            // A stub will find the real function, unless the object has its own one of that name.
            const bool is_stub = type == kJumpSlot && object.executes(current) &&
                                 (symbol.st_shndx == SHN_UNDEF ||
                                  object.address_of(symbol) == reinterpret_cast<uintptr_t>(function->real));
            visit_slot(*slot, *function, current, is_stub, defines_new, type, relocated);
        });
        if (hooked_ > hooked_before) ++tally.patched;
        if (relocated.in_progress()) tally.again = true;
    }

    ImportTally tally;

  private:
    static uint32_t letter(const char* name) { return uint32_t{1} << (static_cast<unsigned char>(name[0]) % 32); }

    const ImportedFunction* find(const char* name) const {
        for (size_t i = 0; i < functions_.count; ++i) {
            const ImportedFunction& function = functions_.first[i];
            // Names are never empty; the second letter spares most comparisons.
            if (function.name[0] != name[0] || function.name[1] != name[1] || function.real == nullptr) continue;
            if (std::strcmp(function.name, name) == 0) return &function;
        }
        return nullptr;
    }

    bool is_off_limits(const LoadedObject& object) const {
        return object.is_at(reinterpret_cast<uintptr_t>(functions_.ourselves)) ||
               object.is_at(loader_) ||  // it may not call anything outside itself while it relocates others
               object.is_at(kernel_page_);
    }

    void visit_slot(Slot& slot, const ImportedFunction& function, uintptr_t current, bool is_stub, bool defines_new,
                    uint32_t type, RelocatedData& relocated) {
        const auto plain = reinterpret_cast<uintptr_t>(function.hook);
        const auto below_new = reinterpret_cast<uintptr_t>(function.hook_below_new);
        const uintptr_t hook = defines_new && below_new != 0 ? below_new : plain;
        const auto real = reinterpret_cast<uintptr_t>(function.real);
        const auto address = reinterpret_cast<uintptr_t>(function.address);
        const bool is_hook = current == plain || (current == below_new && below_new != 0);
        if (!is_hook && !is_stub && current != real && current != address) {
            // In no library: another thread's dlopen has loaded this one and not relocated it yet.
            if (is_nowhere(current)) {
                tally.again = true;
            } else {
                ++tally.foreign;
            }
            return;
        }
        const bool is_right = patching_ ? current == hook : !is_hook;
        if (!is_right && relocated.open_for(&slot)) {
            // Another thread that is resolving the stub at this moment writes the real function over our hook: a
            // second pass a little later finds that out.
            if (is_stub) tally.again = true;
            slot.store(patching_ ? hook : (type == kJumpSlot ? real : address), std::memory_order_release);
            if (patching_) remember(slot, hook, type);
        } else if (is_hook) {
            remember(slot, current, type);
        }
    }

    // What the slot held stays what is called. So one that the loader has not bound yet is left for later: nobody knows
    // what it will hold. A definition in the object itself is that library's own business.
    void visit_operator_new(Slot& slot, int form, const LoadedObject& object, uint32_t type, RelocatedData& relocated) {
        const uintptr_t current = slot.load(std::memory_order_relaxed);
        const uintptr_t behind = operator_new_behind(form, current);
        if (!patching_) {
            if (behind != 0 && relocated.open_for(&slot)) slot.store(behind, std::memory_order_release);
        } else if (behind != 0) {
            remember(slot, current, type);
        } else if (is_nowhere(current)) {
            tally.again = true;
        } else if (!object.executes(current) && library_of(reinterpret_cast<const void*>(current)) != nullptr &&
                   relocated.open_for(&slot)) {
            const auto hook = reinterpret_cast<uintptr_t>(operator_new_hook(form, current));
            if (hook == 0) return;
            slot.store(hook, std::memory_order_release);
            remember(slot, hook, type);
        }
    }

    bool is_nowhere(uintptr_t function) const {
        return !insist_ && library_of(reinterpret_cast<const void*>(function)) == nullptr;
    }

    void remember(const Slot& slot, uintptr_t hook, uint32_t type) {
        ++hooked_;
        if (type == kPointer) return;  // a variable, which its library may set to something else
        if (patched_ == nullptr || !patched_->slots.reserve() || patched_->count == patched_->slots.capacity()) return;
        patched_->slots[patched_->count++] = {&slot, hook};
    }

    const ImportedFunctions& functions_;
    bool patching_;
    int skip_;
    bool insist_;
    PatchedSlots* patched_;
    int hooked_ = 0;
    uint32_t first_letters_ = 0;
    uintptr_t loader_ = getauxval(AT_BASE);
    uintptr_t kernel_page_ = getauxval(AT_SYSINFO_EHDR);
};

}  // namespace

LoaderCount count_loaded() noexcept {
    LoaderCount count;
    dl_iterate_phdr(
        [](dl_phdr_info* info, size_t, void* result) {
            *static_cast<LoaderCount*>(result) = {info->dlpi_adds, info->dlpi_subs};
            return 1;
        },
        &count);
    return count;
}

ImportTally visit_imports(ImportPass pass, const ImportedFunctions& functions, int skip, bool insist,
                          PatchedSlots* patched) noexcept {
    const int saved = errno;
    ImportVisitor visitor(pass, functions, skip, insist, patched);
    dl_iterate_phdr(
        [](dl_phdr_info* info, size_t, void* context) {
            static_cast<ImportVisitor*>(context)->visit(*info);
            return 0;
        },
        &visitor);
    errno = saved;
    return visitor.tally;
}

bool lost_a_slot(const PatchedSlots& patched, uint64_t removed) noexcept {
    struct Question {
        const PatchedSlots& patched;
        uint64_t removed;
        bool lost;
    } question{patched, removed, false};
    // Inside the loader's walk, where no library can be removed.
    dl_iterate_phdr(
        [](dl_phdr_info* info, size_t, void* context) {
            auto& [slots, known_removed, lost] = *static_cast<Question*>(context);
            if (info->dlpi_subs != known_removed) return 1;
            for (size_t i = 0; i < slots.count && !lost; ++i) {
                lost = slots.slots[i].slot->load(std::memory_order_relaxed) != slots.slots[i].hook;
            }
            return 1;
        },
        &question);
    return question.lost;
}

}  // namespace flyweight::memory
