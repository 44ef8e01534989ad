// The parser of smaps, on text of all shapes and on this process.
#include "memory/process_map.h"

#include <memory>
#include <string>
#include <vector>

#include "check.h"

using namespace flyweight::memory;

namespace {

const char kText[] =
    "55bd5fa71000-55bd5fa73000 r--p 00000000 fe:00 260386                     /usr/bin/head\n"
    "Size:                  8 kB\n"
    "KernelPageSize:        4 kB\n"
    "Rss:                   8 kB\n"
    "Pss:                   3 kB\n"
    "Pss_Dirty:             1 kB\n"
    "Shared_Clean:          4 kB\n"
    "Shared_Dirty:          0 kB\n"
    "Private_Clean:         0 kB\n"
    "Private_Dirty:         4 kB\n"
    "Swap:                 12 kB\n"
    "SwapPss:               6 kB\n"
    "VmFlags: rd mr mw me \n"
    "55bd5fa73000-55bd5fa79000 rw-s 00002000 fe:00 260386                     /tmp/a name (deleted)\n"
    "Rss:                  24 kB\n"
    "Shared_Dirty:          8 kB\n"
    "Private_Clean:        16 kB\n"
    "7ffc8d5f2000-7ffc8d613000 ---p 00000000 00:00 0 \n"
    "Rss:                   0 kB\n"
    "7ffc8d700000-7ffc8d800000 rwxp 00000000 00:00 0                          [stack]\n"
    "Rss:                1024 kB";

struct Room {
    explicit Room(size_t mappings = 64, size_t bytes = 4096) : mappings_(mappings), text_(bytes) {
        map.mappings = mappings_.data();
        map.capacity = mappings;
        map.text = text_.data();
        map.text_capacity = bytes;
    }
    ProcessMap map;

  private:
    std::vector<Mapping> mappings_;
    std::vector<char> text_;
};

void parse(ProcessMap& map, const std::string& text, size_t piece) {
    map.clear();
    const auto parser = std::make_unique<SmapsParser>(map);
    for (size_t at = 0; at < text.size(); at += piece)
        parser->feed(text.data() + at, std::min(piece, text.size() - at));
    parser->finish();
}

}  // namespace

TEST(mappings_and_their_figures_are_read_whatever_the_pieces) {
    for (size_t piece = 1; piece < sizeof kText + 1; ++piece) {
        Room room;
        parse(room.map, kText, piece);
        REQUIRE(room.map.count == 4);
        const Mapping &first = room.map.mappings[0], &second = room.map.mappings[1], &third = room.map.mappings[2];
        CHECK_EQUAL(first.start, 0x55bd5fa71000u);
        CHECK_EQUAL(first.end, 0x55bd5fa73000u);
        CHECK(first.readable && !first.writable && !first.executable && !first.shared);
        CHECK_EQUAL(first.figures.rss, 8192u);
        CHECK_EQUAL(first.figures.pss, 3072u);
        CHECK_EQUAL(first.figures.shared, 4096u);
        CHECK_EQUAL(first.figures.priv, 4096u);
        CHECK_EQUAL(first.figures.private_dirty, 4096u);
        CHECK_EQUAL(first.figures.shared_dirty, 0u);
        CHECK_EQUAL(first.figures.swap, 12288u);
        CHECK(std::strcmp(room.map.name(first), "/usr/bin/head") == 0);
        CHECK(std::strcmp(room.map.name(second), "/tmp/a name (deleted)") == 0);
        CHECK(second.writable && second.shared);
        CHECK_EQUAL(second.figures.shared_dirty, 8192u);
        CHECK_EQUAL(second.figures.priv, 16384u);
        CHECK(!third.readable && room.map.name(third)[0] == '\0');
        CHECK_EQUAL(room.map.mappings[3].figures.rss, uint64_t{1} << 20);
        CHECK_EQUAL(room.map.sum().rss, uint64_t{8 + 24 + 1024} * 1024);
    }
}

TEST(memory_under_a_protection_key_is_not_readable) {
    Room room;
    parse(room.map,
          "1000-2000 rw-p 00000000 00:00 0 \nRss: 4 kB\nProtectionKey:         0\n"
          "2000-3000 rw-p 00000000 00:00 0 \nRss: 4 kB\nProtectionKey:         1\n",
          4096);
    REQUIRE(room.map.count == 2);
    CHECK(room.map.mappings[0].readable);
    CHECK(!room.map.mappings[1].readable);
}

TEST(what_finds_no_room_is_said_and_nothing_is_written_beyond) {
    Room few(2), narrow(64, 20);
    parse(few.map, kText, 100);
    CHECK(few.map.overflow);
    CHECK_EQUAL(few.map.count, 2u);
    CHECK_EQUAL(few.map.sum().rss, 32768u);
    parse(narrow.map, kText, 100);
    CHECK(narrow.map.overflow);
}

TEST(damaged_text_is_survived) {
    check::Random random(7);
    for (int round = 0; round < 3000 * check::kScale; ++round) {
        std::string text = kText;
        for (uint64_t i = random.below(12); i-- > 0;) {
            const size_t at = random.below(text.size());
            switch (random.below(4)) {
                case 0:
                    text[at] = static_cast<char>(random.below(256));
                    break;
                case 1:
                    text.erase(at, random.below(60));
                    break;
                case 2:
                    text.insert(at, text.substr(random.below(text.size()), random.below(90)));
                    break;
                default:
                    text.insert(at, random.below(9000), "0f \n-:"[random.below(6)]);
            }
            if (text.empty()) text = "x";
        }
        Room room(8, 512);
        parse(room.map, text, 1 + random.below(300));
        CHECK(room.map.count <= 8);
        for (size_t i = 0; i < room.map.count; ++i) {
            CHECK(room.map.mappings[i].start <= room.map.mappings[i].end);
            CHECK(std::strlen(room.map.name(room.map.mappings[i])) < 512);
        }
    }
}

TEST(the_mappings_of_this_process_sum_to_what_the_kernel_adds_up) {
    Room room(1 << 14, 1 << 20), sum;
    bool equal = false;
    for (int attempt = 0; attempt < 20 && !equal; ++attempt) {
        REQUIRE(read_process_map("/proc/self/smaps", room.map));
        REQUIRE(read_process_map("/proc/self/smaps_rollup", sum.map));
        REQUIRE(sum.map.count == 1 && !room.map.overflow);
        equal = room.map.sum().rss == sum.map.mappings[0].figures.rss;
    }
    CHECK(equal);
    CHECK(room.map.sum().rss > 100000);
}

TEST(a_file_that_is_not_there_is_an_error) {
    Room room;
    CHECK(!read_process_map("/proc/self/no such file", room.map));
    CHECK_EQUAL(errno, ENOENT);
}
