// Walking one row through a forest, for the shared library that a bundle carries.
//
// The generated source describes its forest by a constexpr Shape and hands over the tables that the assembler took in;
// what a node means is written down in quickthorn/forest/ensemble.py. Every tree shape is walked by the same code:
// eight trees advance together, one step each, so that their cache misses and compares overlap.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace quickthorn {
namespace [[gnu::visibility("hidden")]] forest {

static_assert(std::endian::native == std::endian::little, "the tables are little-endian");

enum class Precision : std::uint8_t { float32, float64 };
enum class Operator : std::uint8_t { less, less_or_equal };

// What the code generator knows about the forest. Offsets are in bytes from the start of the tables.
struct Shape {
    Precision precision;
    Operator compare;
    double zero_threshold;
    bool negative_fractions_truncate;
    bool any_zero_missing;
    bool any_categorical;
    double base_margin;
    std::uint32_t feature_count;
    std::uint32_t tree_count;
    std::uint64_t roots;
    std::uint64_t leaf_values;
    std::uint64_t leaf_ids;
    std::uint64_t category_sets;
    std::uint64_t category_words;
};

// A split. `child[0]` is where the test holds; a child is another node when not negative, else leaf ~child.
// A categorical node's threshold is the number of its category set.
template <class Value>
struct Node {
    Value threshold;
    std::uint32_t feature_and_flags;
    std::int32_t child[2];
};
static_assert(sizeof(Node<float>) == 16);
static_assert(sizeof(Node<double>) == 24);

inline constexpr std::uint32_t default_left_flag = 1U << 31;
inline constexpr std::uint32_t zero_missing_flag = 1U << 30;
inline constexpr std::uint32_t categorical_flag = 1U << 29;
inline constexpr std::uint32_t feature_mask = categorical_flag - 1;

// A set of categories: bits in `word_count` consecutive 32-bit words.
struct CategorySet {
    std::uint32_t first_word;
    std::uint32_t word_count;
};
static_assert(sizeof(CategorySet) == 8);

template <Shape shape>
class Walk {
public:
    explicit Walk(const unsigned char* tables) : tables_{tables} {}

    // The sum of the leaves in tree order, in the forest's own precision.
    double margin(const double* features) const {
        Value sum = static_cast<Value>(shape.base_margin);
        const Value* values = table<Value>(shape.leaf_values);
        each_leaf(features, [&](std::uint32_t, std::uint32_t leaf) { sum += values[leaf]; });
        return static_cast<double>(sum);
    }

    // Each tree's leaf, numbered as the source library numbers it.
    void leaves(const double* features, std::int32_t* out) const {
        const std::int32_t* ids = table<std::int32_t>(shape.leaf_ids);
        each_leaf(features, [&](std::uint32_t tree, std::uint32_t leaf) { out[tree] = ids[leaf]; });
    }

private:
    using Value = std::conditional_t<shape.precision == Precision::float32, float, double>;

    static constexpr std::uint32_t lanes = 8;

    template <class Item>
    const Item* table(std::uint64_t offset) const {
        return reinterpret_cast<const Item*>(tables_ + offset);
    }

    // Calls visit(tree, leaf) for every tree, in tree order.
    template <class Visit>
    void each_leaf(const double* features, Visit visit) const {
        Value row[shape.feature_count];
        prepare(features, row);
        const std::int32_t* roots = table<std::int32_t>(shape.roots);
        std::uint32_t tree = 0;
        for (; tree + lanes <= shape.tree_count; tree += lanes) {
            std::int32_t at[lanes];
            for (std::uint32_t lane = 0; lane < lanes; ++lane) at[lane] = roots[tree + lane];
            while (advance(row, at)) {}
            for (std::uint32_t lane = 0; lane < lanes; ++lane)
                visit(tree + lane, static_cast<std::uint32_t>(~at[lane]));
        }
        for (; tree < shape.tree_count; ++tree) {
            std::int32_t at = roots[tree];
            while (at >= 0) at = next(row, at);
            visit(tree, static_cast<std::uint32_t>(~at));
        }
    }

    // What the library makes of the inputs before it compares them.
    static void prepare(const double* features, Value* row) {
        for (std::uint32_t index = 0; index < shape.feature_count; ++index) {
            if constexpr (shape.precision == Precision::float32) {
                row[index] = static_cast<float>(features[index]);
            } else {
                row[index] = std::fabs(features[index]) <= shape.zero_threshold ? 0.0 : features[index];
            }
        }
    }

    // One step in every tree that has not reached its leaf; whether any has further to go. A tree at its leaf steps
    // from node 0, in vain: choosing between two results is cheaper than a branch that is taken at random. There is
    // always a node 0, if need be one that no tree reaches.
    bool advance(const Value* row, std::int32_t (&at)[lanes]) const {
        std::int32_t open = 0;
        for (std::uint32_t lane = 0; lane < lanes; ++lane) {
            const std::int32_t from = at[lane];
            const std::int32_t to = next(row, from < 0 ? 0 : from);
            at[lane] = from < 0 ? from : to;
            open |= ~at[lane];
        }
        return open < 0;
    }

    std::int32_t next(const Value* row, std::int32_t at) const {
        const Node<Value>& node = table<Node<Value>>(0)[at];
        const Value value = row[node.feature_and_flags & feature_mask];
        return node.child[goes_left(node, value) ? 0 : 1];
    }

    bool goes_left(const Node<Value>& node, Value value) const {
        if constexpr (shape.any_categorical) {
            if ((node.feature_and_flags & categorical_flag) != 0) return category_goes_left(node, value);
        }
        const bool default_left = (node.feature_and_flags & default_left_flag) != 0;
        bool missing = std::isnan(value);
        if constexpr (shape.any_zero_missing) {
            missing |= (node.feature_and_flags & zero_missing_flag) != 0 && value == 0;
        }
        const bool holds = shape.compare == Operator::less ? value < node.threshold : value <= node.threshold;
        return (missing & default_left) | (!missing & holds);
    }

    bool category_goes_left(const Node<Value>& node, Value value) const {
        if (std::isnan(value)) return (node.feature_and_flags & default_left_flag) != 0;
        constexpr Value end = 2147483648.0F;
        const bool from_zero = value >= 0 || (shape.negative_fractions_truncate && value > -1);
        if (!from_zero || value >= end) return false;
        const auto category = static_cast<std::uint32_t>(static_cast<std::int32_t>(value));
        const CategorySet set = table<CategorySet>(shape.category_sets)[static_cast<std::uint32_t>(node.threshold)];
        if (category / 32 >= set.word_count) return false;
        const std::uint32_t word = table<std::uint32_t>(shape.category_words)[set.first_word + category / 32];
        return ((word >> (category % 32)) & 1U) != 0;
    }

    const unsigned char* tables_;
};

}  // namespace forest
}  // namespace quickthorn
