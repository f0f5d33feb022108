// Adding numbers up in a given order, every addition rounded: what a library's sum of leaves is, bit for bit.
#pragma once

#include <cstdint>

namespace quickthorn {
namespace [[gnu::visibility("hidden")]] forest {

template <class Leaf>
class OrderedSum {
public:
    explicit OrderedSum(Leaf start) : sum_{start} {}

    // `leaves` are on a cache line, and there are 64 of them at most.
    void add(const Leaf* leaves, std::uint32_t count) {
        for (std::uint32_t i = 0; i < count; ++i) sum_ += leaves[i];
    }

    Leaf total() const { return sum_; }

private:
    Leaf sum_;
};

}  // namespace forest
}  // namespace quickthorn
