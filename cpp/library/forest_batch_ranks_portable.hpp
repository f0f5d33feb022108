// Quantising a tile of rows below AVX-512: row by row with forest_ranks.hpp, then entry by entry.
//
// Included by forest_batch_ranks.hpp, whose names these are.
#pragma once

#include "forest_batch_rows.hpp"
#include "forest_ranks.hpp"

namespace quickthorn {
namespace [[gnu::visibility("hidden")]] batch {

// An entry's feature, and which of the two lines it has.
struct Entry {
    std::uint32_t feature;
    std::uint32_t lines;
};

template <class Value>
using EntryTile = treelets::Tile<Value>;

// Row by row, and then entry by entry. The features of the quantiser's tiles are entries.
template <class Value, bool strict>
class Ranking {
public:
    Ranking(const Value* thresholds, const unsigned char* entries, double zero_threshold)
        : quantiser_{thresholds, zero_threshold},
          entries_{reinterpret_cast<const Entry*>(entries)} {}

    template <std::uint32_t tile_rows, class Input>
    void rank(const EntryTile<Value>* tiles, std::uint32_t tile_count, const Rows<Input>& rows, std::uint32_t row_count,
              std::int8_t* lines) const {
        const std::uint32_t entry_count = 16 * tile_count;
        for (std::uint32_t r = 0; r < row_count; r += at_once) {
            std::uint8_t ranks[at_once][treelets::most_entries];
            for (std::uint32_t i = 0; i < at_once; ++i) {
                const Input* row = rows.row(r + i);
                Input inputs[treelets::most_entries];
                for (std::uint32_t e = 0; e < entry_count; ++e) {
                    inputs[e] = row[static_cast<std::ptrdiff_t>(entries_[e].feature) * rows.feature_stride];
                }
                quantiser_.rank(tiles, tile_count, inputs, ranks[i]);
            }
            std::int8_t* line = lines + r;
            for (std::uint32_t e = 0; e < entry_count; ++e) {
                std::uint8_t side_by_side[at_once];
                for (std::uint32_t i = 0; i < at_once; ++i) side_by_side[i] = ranks[i][e];
                for (std::uint32_t less = 0; less < 2; ++less) {
                    if ((entries_[e].lines >> less & 1U) == 0) continue;
                    for (std::uint32_t i = 0; i < at_once; ++i) {
                        line[i] = static_cast<std::int8_t>(side_by_side[i] - less - 128);
                    }
                    line += tile_rows;
                }
            }
        }
    }

private:
    treelets::Quantiser<Value, strict> quantiser_;
    const Entry* entries_;
    static constexpr std::uint32_t at_once = 16;
};

}  // namespace batch
}  // namespace quickthorn
