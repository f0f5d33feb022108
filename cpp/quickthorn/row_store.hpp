// Blocks of rows for the entities' rings: powers of two, handed out once and reused, never returned to the system.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>

#include "quickthorn/region.hpp"

namespace quickthorn {

// The space that all groups' rows share; its limit is what max_history_bytes sets.
class RowSpace {
public:
    RowSpace(Region& region, std::size_t bytes)
        : region_(region),
          used_(region.make<std::uint64_t>()),
          base_(region.carve(bytes)),
          bytes_(bytes) {}

    // Groups may take at once; which gets which bytes is of no account to what they keep there.
    std::optional<Region::Offset> take(std::size_t bytes) {
        const std::size_t size = (bytes + 63) / 64 * 64;
        const std::atomic_ref used(*used_);
        std::uint64_t before = used.load(std::memory_order_relaxed);
        do {
            if (size > bytes_ - before) return std::nullopt;
        } while (!used.compare_exchange_weak(before, before + size, std::memory_order_relaxed));
        return base_ + before;
    }

    Region& region() { return region_; }
    std::size_t used_bytes() const { return *used_; }
    std::size_t bytes() const { return bytes_; }

private:
    Region& region_;
    std::uint64_t* used_;
    Region::Offset base_;
    std::size_t bytes_;
};

// Blocks of one group: all rows have the same size, so a freed block fits the next ring of that capacity.
class RowStore {
    using FreeBlocks = std::array<Region::Offset, 32>;  // the first free block of each capacity, which leads to others

public:
    // Bytes it carves from a region, beside the blocks.
    static constexpr std::size_t table_bytes = sizeof(FreeBlocks) + 64;

    RowStore(RowSpace& space, std::uint32_t row_bytes)
        : space_(space),
          free_(space.region().make<FreeBlocks>()),
          row_bytes_(row_bytes) {}

    // A block of 2**log2_rows rows; nothing when the space is used up.
    std::optional<Region::Offset> acquire(unsigned log2_rows) {
        Region::Offset& head = (*free_)[log2_rows];
        if (head == none) return space_.take(std::size_t{row_bytes_} << log2_rows);
        const Region::Offset block = head;
        head = *space_.region().at<Region::Offset>(block);
        return block;
    }

    void give_back(Region::Offset block, unsigned log2_rows) {
        Region::Offset& head = (*free_)[log2_rows];
        *space_.region().at<Region::Offset>(block) = head;
        head = block;
    }

    std::byte* rows(Region::Offset block) { return space_.region().at<std::byte>(block); }

private:
    static constexpr Region::Offset none = 0;  // offset 0 holds something else, never a block

    RowSpace& space_;
    FreeBlocks* free_;
    std::uint32_t row_bytes_;
};

}  // namespace quickthorn
