// Blocks of rows for the entities' rings: powers of two, handed out once and reused, never returned to the system.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "quickthorn/region.hpp"

namespace quickthorn {

// The space that all groups' rows share; its limit is what max_history_bytes sets.
class RowSpace {
public:
    RowSpace(Region& region, std::size_t bytes) : region_(region), base_(region.carve(bytes)), bytes_(bytes) {}

    std::optional<Region::Offset> take(std::size_t bytes) {
        const std::size_t size = (bytes + 63) / 64 * 64;
        if (size > bytes_ - used_) return std::nullopt;
        const Region::Offset offset = base_ + used_;
        used_ += size;
        return offset;
    }

    Region& region() { return region_; }
    std::size_t used_bytes() const { return used_; }

private:
    Region& region_;
    Region::Offset base_;
    std::size_t bytes_;
    std::size_t used_ = 0;
};

// Blocks of one group: all rows have the same size, so a freed block fits the next ring of that capacity.
class RowStore {
public:
    RowStore(RowSpace& space, std::uint32_t row_bytes) : space_(space), row_bytes_(row_bytes) {}

    // A block of 2**log2_rows rows; nothing when the space is used up.
    std::optional<Region::Offset> acquire(unsigned log2_rows) {
        Region::Offset& head = free_[log2_rows];
        if (head == none) return space_.take(std::size_t{row_bytes_} << log2_rows);
        const Region::Offset block = head;
        head = *space_.region().at<Region::Offset>(block);
        return block;
    }

    void give_back(Region::Offset block, unsigned log2_rows) {
        *space_.region().at<Region::Offset>(block) = free_[log2_rows];
        free_[log2_rows] = block;
    }

    std::byte* rows(Region::Offset block) { return space_.region().at<std::byte>(block); }

private:
    static constexpr Region::Offset none = 0;  // offset 0 holds a key table, never a block

    RowSpace& space_;
    std::uint32_t row_bytes_;
    std::array<Region::Offset, 32> free_{};
};

}  // namespace quickthorn
