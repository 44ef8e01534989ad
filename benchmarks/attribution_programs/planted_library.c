// Allocates known amounts and keeps them. Returns how many bytes it asked for, all of them written.

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

void **kept;  // seen from outside, so that no compiler leaves it out

size_t plant(size_t count) {
    size_t asked = count * sizeof(void *);
    kept = malloc(asked);
    for (size_t number = 0; number < count; number++) {
        size_t size = 40 + number % 500;
        kept[number] = malloc(size);
        memset(kept[number], 1, size);
        asked += size;
    }
    return asked;
}

size_t plant_mapping(size_t count) {
    size_t size = 65536;
    for (size_t number = 0; number < count; number++) {
        void *mapping = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (mapping == MAP_FAILED) return 0;
        memset(mapping, 1, size);
    }
    return count * size;
}
