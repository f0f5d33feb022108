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
    Precision sum_precision;
    Operator compare;
    double zero_threshold;
    bool negative_fractions_truncate;
    bool whole_categories;
    bool any_zero_missing;
    bool any_categorical;
    double base_margin;  // of the first output
    double scale;
    bool base_last;
    bool average;
    bool vector_leaves;
    bool linear_leaves;
    std::uint32_t feature_count;
    std::uint32_t tree_count;
    std::uint32_t output_count;
    std::uint64_t roots;
    std::uint64_t leaf_values;
    std::uint64_t leaf_ids;
    std::uint64_t tree_outputs;
    std::uint64_t outputs;
    std::uint64_t category_sets;
    std::uint64_t category_words;
    std::uint64_t linear_models;
    std::uint64_t linear_terms;
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

// What an output starts from or ends with, and how many trees add to it.
template <class Sum>
struct Output {
    Sum base_margin;
    Sum tree_count;
};
static_assert(sizeof(Output<float>) == 8);
static_assert(sizeof(Output<double>) == 16);

// A linear model in a leaf: a constant and the terms added to it.
struct LinearModel {
    double constant;
    std::uint32_t first_term;
    std::uint32_t term_count;
};
static_assert(sizeof(LinearModel) == 16);

struct LinearTerm {
    double coefficient;
    std::uint32_t feature;
    std::uint32_t unused;
};
static_assert(sizeof(LinearTerm) == 16);

template <Shape shape>
class Walk {
    using Value = std::conditional_t<shape.precision == Precision::float32, float, double>;
    using Sum = std::conditional_t<shape.sum_precision == Precision::float32, float, double>;

public:
    explicit Walk(const unsigned char* tables) : tables_{tables} {}

    // The first output's margin: the sum of its leaves in tree order, in the forest's own precision.
    template <class Input>
    double margin(const Input* features) const {
        if constexpr (shape.output_count == 1) {
            constexpr Output<Sum> output{static_cast<Sum>(shape.base_margin), static_cast<Sum>(shape.tree_count)};
            Sum sum = started(output);
            each_leaf(features, [&](const Value* row, std::uint32_t, std::uint32_t leaf) { sum += added(row, leaf); });
            return static_cast<double>(finished(sum, output));
        } else {
            double all[shape.output_count];
            margins(features, all);
            return all[0];
        }
    }

    // Every output's margin.
    template <class Input>
    void margins(const Input* features, double* out) const {
        if constexpr (shape.output_count == 1) {
            out[0] = margin(features);
        } else {
            const Output<Sum>* outputs = table<Output<Sum>>(shape.outputs);
            Sum sums[shape.output_count];
            for (std::uint32_t output = 0; output < shape.output_count; ++output)
                sums[output] = started(outputs[output]);
            if constexpr (shape.vector_leaves) {
                const Sum* values = table<Sum>(shape.leaf_values);
                each_leaf(features, [&](const Value*, std::uint32_t, std::uint32_t leaf) {
                    const Sum* vector = values + std::size_t{leaf} * shape.output_count;
                    for (std::uint32_t output = 0; output < shape.output_count; ++output)
                        sums[output] += vector[output];
                });
            } else {
                const std::int32_t* of_tree = table<std::int32_t>(shape.tree_outputs);
                each_leaf(features, [&](const Value* row, std::uint32_t tree, std::uint32_t leaf) {
                    sums[of_tree[tree]] += added(row, leaf);
                });
            }
            for (std::uint32_t output = 0; output < shape.output_count; ++output)
                out[output] = static_cast<double>(finished(sums[output], outputs[output]));
        }
    }

    // Each tree's leaf, numbered as the source library numbers it.
    template <class Input>
    void leaves(const Input* features, std::int32_t* out) const {
        const std::int32_t* ids = table<std::int32_t>(shape.leaf_ids);
        each_leaf(features, [&](const Value*, std::uint32_t tree, std::uint32_t leaf) { out[tree] = ids[leaf]; });
    }

    // Calls visit(row, tree, leaf) for every tree, in tree order.
    template <class Input, class Visit>
    void each_leaf(const Input* features, Visit visit) const {
        Value row[shape.feature_count];
        prepare(features, row);
        const std::int32_t* roots = table<std::int32_t>(shape.roots);
        std::uint32_t tree = 0;
        for (; tree + lanes <= shape.tree_count; tree += lanes) {
            std::int32_t at[lanes];
            for (std::uint32_t lane = 0; lane < lanes; ++lane) at[lane] = roots[tree + lane];
            while (advance(row, at)) {}
            for (std::uint32_t lane = 0; lane < lanes; ++lane)
                visit(row, tree + lane, static_cast<std::uint32_t>(~at[lane]));
        }
        for (; tree < shape.tree_count; ++tree) {
            std::int32_t at = roots[tree];
            while (at >= 0) at = next(row, at);
            visit(row, tree, static_cast<std::uint32_t>(~at));
        }
    }

private:
    static constexpr std::uint32_t lanes = 8;

    template <class Item>
    const Item* table(std::uint64_t offset) const {
        return reinterpret_cast<const Item*>(tables_ + offset);
    }

    static constexpr Sum started(Output<Sum> output) { return shape.base_last ? Sum{0} : output.base_margin; }

    static constexpr Sum finished(Sum sum, Output<Sum> output) {
        if constexpr (shape.average) sum /= output.tree_count;
        if constexpr (shape.scale != 1) sum *= static_cast<Sum>(shape.scale);
        if constexpr (shape.base_last) sum += output.base_margin;
        return sum;
    }

    // What a leaf adds to its output.
    Sum added(const Value* row, std::uint32_t leaf) const {
        const Sum value = table<Sum>(shape.leaf_values)[leaf];
        if constexpr (shape.linear_leaves) {
            const LinearModel model = table<LinearModel>(shape.linear_models)[leaf];
            const LinearTerm* terms = table<LinearTerm>(shape.linear_terms) + model.first_term;
            double sum = model.constant;
            for (std::uint32_t term = 0; term < model.term_count; ++term) {
                const double input = row[terms[term].feature];
                if (std::isnan(input)) return value;
                sum += terms[term].coefficient * input;
            }
            return static_cast<Sum>(sum);
        } else {
            static_cast<void>(row);
            return value;
        }
    }

    // What the library makes of the inputs before it compares them.
    template <class Input>
    static void prepare(const Input* features, Value* row) {
        for (std::uint32_t index = 0; index < shape.feature_count; ++index) {
            if constexpr (shape.precision == Precision::float32) {
                row[index] = static_cast<float>(features[index]);
            } else {
                const double feature = features[index];
                row[index] = std::fabs(feature) <= shape.zero_threshold ? 0.0 : feature;
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
        if (shape.whole_categories && static_cast<Value>(category) != value) return false;
        const CategorySet set = table<CategorySet>(shape.category_sets)[static_cast<std::uint32_t>(node.threshold)];
        if (category / 32 >= set.word_count) return false;
        const std::uint32_t word = table<std::uint32_t>(shape.category_words)[set.first_word + category / 32];
        return ((word >> (category % 32)) & 1U) != 0;
    }

    const unsigned char* tables_;
};

}  // namespace forest
}  // namespace quickthorn
