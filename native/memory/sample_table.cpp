#include "memory/sample_table.h"

namespace flyweight::memory {

bool SampleTable::reserve() noexcept {
    if (!rows_.reserve() || !buckets_.reserve() || !samples_.reserve()) return false;
    if (rows_.size() == 0) rows_.append();
    if (samples_.size() == 0) samples_.append();
    return true;
}

void SampleTable::clear() noexcept {
    rows_.clear();
    buckets_.clear();
    samples_.clear();
    first_free_ = 0;
    dropped_ = 0;
    reserve();
}

uint32_t SampleTable::find_or_add_row(StackId stack, uint32_t native_stack, Domain domain, SiteId site,
                                      uint32_t tick) noexcept {
    const uint64_t key = (uint64_t{stack} << 32 | native_stack) * 0x9e3779b97f4a7c15ULL + static_cast<uint64_t>(domain);
    uint32_t& bucket = buckets_[key >> 40 & (kBuckets - 1)];
    for (uint32_t at = bucket; at != 0; at = rows_[at].next) {
        const StackRow& row = rows_[at];
        if (row.stack == stack && row.native_stack == native_stack && row.domain == domain && row.site == site) {
            return at;
        }
    }
    const size_t number = rows_.append();
    if (number == kCapacity) return 0;
    rows_[number] = {stack, native_stack, domain, site, bucket, tick, 0, 0, 0, 0, 0, 0, 0};
    bucket = static_cast<uint32_t>(number);
    return bucket;
}

uint32_t SampleTable::add(const Sample& sample, const Weight& weight) noexcept {
    uint32_t number = first_free_;
    if (number != 0) {
        first_free_ = samples_[number].next_free;
    } else {
        const size_t fresh = samples_.append();
        if (fresh == kCapacity) {
            ++dropped_;
            return 0;
        }
        number = static_cast<uint32_t>(fresh);
    }
    samples_[number] = sample;
    StackRow& row = rows_[sample.row];
    ++row.total_samples, ++row.live_samples;
    row.total_count += weight.count, row.live_count += weight.count;
    row.total_bytes += weight.bytes, row.live_bytes += weight.bytes;
    row.total_variance += weight.variance;
    return number;
}

void SampleTable::remove(uint32_t number, const Weight& weight) noexcept {
    Sample& sample = samples_[number];
    if (sample.address == 0) return;
    StackRow& row = rows_[sample.row];
    --row.live_samples;
    row.live_count -= weight.count;
    row.live_bytes -= weight.bytes;
    sample = {0, 0, 0, kNoSite, 0, first_free_};
    first_free_ = number;
}

size_t SampleTable::own_bytes() const noexcept {
    return rows_.used_bytes() + samples_.used_bytes() + (rows_.size() > 1 ? kBuckets * sizeof(uint32_t) : 0);
}

}  // namespace flyweight::memory
