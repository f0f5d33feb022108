// Many rows as they are given, and which lines of ranks an entry has of them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace quickthorn {
namespace [[gnu::visibility("hidden")]] batch {

inline constexpr std::uint8_t plain_line = 1;
inline constexpr std::uint8_t less_one_line = 2;

// Row r's feature f is first[r * row_stride + f * feature_stride].
template <class Input>
struct Rows {
    const Input* first;
    std::ptrdiff_t row_stride;
    std::ptrdiff_t feature_stride;
    std::uint32_t count;

    // The row of that number, the last one for those beyond it.
    const Input* row(std::uint32_t number) const {
        return first + static_cast<std::ptrdiff_t>(std::min(number, count - 1)) * row_stride;
    }
};

}  // namespace batch
}  // namespace quickthorn
