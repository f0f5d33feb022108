// How many frauds are known of each component: by its newest event, and in the time after it as labels become known.
#pragma once

#include <cstddef>
#include <cstdint>

#include "quickthorn/region.hpp"

namespace quickthorn {

// A count for each set of a forest of disjoint sets. A change of the count is known from a time on. Up to the time that
// the set is settled to, only the sum of changes is kept; later ones are a list in order of time, from one pool.
class FraudCounts {
public:
    static std::size_t bytes(std::uint32_t sets, std::uint32_t pending);

    // For sets of numbers up to `sets`, and so many changes that are still to come.
    FraudCounts(Region& region, std::uint32_t sets, std::uint32_t pending);

    // From `at_us` on there are `change` more, 1 or −1, in a set that is settled to `settled_us`. False, and nothing
    // has changed, where no more changes to come can be kept.
    bool change(std::uint32_t set, std::int64_t at_us, std::int32_t change, std::int64_t settled_us);

    // What is known of `taken` is of `kept` from here on; neither need be settled to the same time.
    void unite(std::uint32_t kept, std::uint32_t taken);

    // Nothing before that time will be asked for any more.
    void settle(std::uint32_t set, std::int64_t until_us);

    // How many are known at a time that is not before what the set is settled to.
    std::int64_t known_at(std::uint32_t set, std::int64_t now_us) const;

    // Begins the set's count anew.
    void clear(std::uint32_t set);

private:
    struct Count {
        std::int64_t settled = 0;  // the sum of changes up to the time it is settled to
        std::uint32_t first = 0;   // change to come, 0 where there is none
        std::uint32_t last = 0;
    };
    struct Change {
        std::int64_t at_us;
        std::int32_t change;
        std::uint32_t next;
    };
    struct Extent {
        std::uint32_t changes = 0;  // given out so far, free ones included
        std::uint32_t free = 0;     // number of a free one, which leads to the others; 0 where there is none
    };

    Extent* extent_;
    Count* counts_;  // by number, from 1; so are changes
    Change* changes_;
    std::uint32_t most_changes_;
};

}  // namespace quickthorn
