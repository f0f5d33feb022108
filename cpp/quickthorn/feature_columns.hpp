// Where a replay writes its features: one column per feature, of memory that is there before.
#pragma once

#include <cstddef>
#include <limits>
#include <type_traits>

namespace quickthorn {

// Feature f of event i is values[f * stride + i]: the columns of the table that comes of it, so that nobody has to turn
// rows into columns afterwards.
class FeatureColumns {
public:
    FeatureColumns() = default;
    FeatureColumns(double* values, std::size_t stride, std::size_t features)
        : values_(values),
          stride_(stride),
          features_(features) {}

    // The columns from that event on.
    FeatureColumns from(std::size_t event) const { return {values_ + event, stride_, features_}; }

    // As many vectors as are best written at a time: a cache line of each column.
    static constexpr std::size_t at_once = 8;

    // Writes the vectors of events first to first + count − 1, each right after the one before.
    void put(std::size_t first, std::size_t count, const double* vectors) const {
        if (count == at_once) {
            put_some(first, std::integral_constant<std::size_t, at_once>(), vectors);
        } else {
            put_some(first, count, vectors);
        }
    }

    void put_missing(std::size_t event) const {
        for (std::size_t feature = 0; feature < features_; ++feature) {
            values_[feature * stride_ + event] = std::numeric_limits<double>::quiet_NaN();
        }
    }

private:
    // A number of events that is known beforehand needs no loop.
    void put_some(std::size_t first, auto count, const double* vectors) const {
        for (std::size_t feature = 0; feature < features_; ++feature) {
            double* column = values_ + feature * stride_ + first;
            for (std::size_t event = 0; event < count; ++event) column[event] = vectors[event * features_ + feature];
        }
    }

    double* values_ = nullptr;
    std::size_t stride_ = 0;
    std::size_t features_ = 0;
};

}  // namespace quickthorn
