#include "memory/python_text.h"

#include "memory/tracker.h"

namespace flyweight::memory {

uint32_t intern_text(PyObject* text) noexcept {
    if (text == nullptr || !PyUnicode_Check(text) || !PyUnicode_IS_COMPACT(text)) return 0;
    if (PyUnicode_IS_COMPACT_ASCII(text)) {
        return tracker.strings.intern({reinterpret_cast<const char*>(PyUnicode_1BYTE_DATA(text)),
                                       static_cast<size_t>(PyUnicode_GET_LENGTH(text))});
    }
    char utf8[StringTable::kLongestName];
    size_t used = 0;
    const int kind = PyUnicode_KIND(text);
    const void* data = PyUnicode_DATA(text);
    for (Py_ssize_t i = 0; i < PyUnicode_GET_LENGTH(text) && used + 4 <= sizeof utf8; ++i) {
        const Py_UCS4 c = PyUnicode_READ(kind, data, i);
        if (c < 0x80) {
            utf8[used++] = static_cast<char>(c);
        } else if (c < 0x800) {
            utf8[used++] = static_cast<char>(0xc0 | c >> 6);
            utf8[used++] = static_cast<char>(0x80 | (c & 0x3f));
        } else if (c < 0x10000) {
            if (c >= 0xd800 && c < 0xe000) {  // a lone surrogate has no UTF-8
                utf8[used++] = '?';
                continue;
            }
            utf8[used++] = static_cast<char>(0xe0 | c >> 12);
            utf8[used++] = static_cast<char>(0x80 | (c >> 6 & 0x3f));
            utf8[used++] = static_cast<char>(0x80 | (c & 0x3f));
        } else {
            utf8[used++] = static_cast<char>(0xf0 | c >> 18);
            utf8[used++] = static_cast<char>(0x80 | (c >> 12 & 0x3f));
            utf8[used++] = static_cast<char>(0x80 | (c >> 6 & 0x3f));
            utf8[used++] = static_cast<char>(0x80 | (c & 0x3f));
        }
    }
    return tracker.strings.intern({utf8, used});
}

}  // namespace flyweight::memory
