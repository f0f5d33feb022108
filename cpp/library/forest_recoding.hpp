// Categories made numbers: a row with codes behind it, for a forest that compares codes in place of asking for sets.
//
// engine/quickthorn/forest/recoding.py builds the tables and says what a code is; what a category is, is written down
// in quickthorn/forest/ensemble.py.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace quickthorn {
namespace [[gnu::visibility("hidden")]] recoding {

// A feature's codes in all its chains: a row of `code_count` bytes for each category, one for what is in no set, and
// one for NaN. They stand in the row from `first_code` on.
struct Coding {
    std::uint32_t feature;
    std::uint32_t first_code;
    std::uint32_t code_count;
    std::uint32_t category_count;
    std::uint64_t codes;  // in bytes from the start of the tables
};

// The evaluator `Inner` over rows that get their codes here.
template <class Inner, class Categories>
struct Recoded {
    static constexpr std::uint32_t feature_count = Categories::feature_count;
    static constexpr std::uint32_t output_count = Inner::output_count;
    static constexpr std::uint32_t width = Inner::feature_count;
    // Inputs are read sixteen at a time where so many follow each other. That is in no shorter row, which compilers
    // cannot see, and warn of.
    static constexpr std::uint32_t room = std::max<std::uint32_t>(width, 16);

    template <class Input>
    double margin(const Input* row) const {
        Input extended[room];
        extend(row, 1, extended);
        return Inner().margin(extended);
    }

    template <class Input>
    void margins(const Input* row, double* margins) const {
        Input extended[room];
        extend(row, 1, extended);
        Inner().margins(extended, margins);
    }

    template <class Input>
    void leaves(const Input* row, std::int32_t* leaves) const {
        Input extended[room];
        extend(row, 1, extended);
        Inner().leaves(extended, leaves);
    }

    template <class Input>
    void contributions(const Input* row, double* out) const {
        Input extended[width];
        extend(row, 1, extended);
        Inner().contributions(extended, out);
    }

    template <class Input>
    void batch(const Input* rows, std::ptrdiff_t row_stride, std::ptrdiff_t feature_stride, std::uint64_t row_count,
               double* margins) const {
        // As many rows at a time as fit 128 KiB of the stack; one row fits in any case.
        constexpr std::uint64_t at_once = std::max<std::uint64_t>(16384 / width, 1);
        Input extended[std::max<std::uint64_t>(at_once * width, room)];
        for (std::uint64_t first = 0; first < row_count; first += at_once) {
            const std::uint64_t count = std::min(row_count - first, at_once);
            for (std::uint64_t i = 0; i < count; ++i) {
                const Input* row = rows + static_cast<std::ptrdiff_t>(first + i) * row_stride;
                extend(row, feature_stride, extended + i * width);
            }
            Inner().batch(static_cast<const Input*>(extended), std::ptrdiff_t{width}, std::ptrdiff_t{1}, count,
                          margins + first * output_count);
        }
    }

private:
    template <class Input>
    static void extend(const Input* row, std::ptrdiff_t feature_stride, Input* extended) {
        for (std::uint32_t f = 0; f < feature_count; ++f) {
            extended[f] = row[static_cast<std::ptrdiff_t>(f) * feature_stride];
        }
        for (const Coding& coding : Categories::codings) {
            const std::uint8_t* codes = Categories::tables() + coding.codes +
                                        std::size_t{place(extended[coding.feature], coding)} * coding.code_count;
            Input* to = extended + coding.first_code;
            for (std::uint32_t i = 0; i < coding.code_count; ++i) to[i] = static_cast<Input>(codes[i]);
        }
    }

    // Which row of a feature's codes a value has.
    template <class Input>
    static std::uint32_t place(Input input, const Coding& coding) {
        using Value = typename Categories::Value;
        auto value = static_cast<Value>(input);
        if constexpr (std::is_same_v<Value, double>) {
            value = std::fabs(value) <= Categories::zero_threshold ? 0.0 : value;
        }
        if (std::isnan(value)) return coding.category_count + 1;
        const bool from_zero = value >= 0 || (Categories::negative_fractions_truncate && value > -1);
        if (!from_zero || value >= static_cast<Value>(coding.category_count)) return coding.category_count;
        const auto category = static_cast<std::uint32_t>(static_cast<std::int32_t>(value));
        const bool whole = static_cast<Value>(category) == value;
        return Categories::whole_categories && !whole ? coding.category_count : category;
    }
};

}  // namespace recoding
}  // namespace quickthorn
