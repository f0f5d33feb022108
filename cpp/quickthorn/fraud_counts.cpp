#include "quickthorn/fraud_counts.hpp"

#include <utility>

namespace quickthorn {

std::size_t FraudCounts::bytes(std::uint32_t sets, std::uint32_t pending) {
    return sizeof(Extent) + sizeof(Count) * (std::size_t{sets} + 1) + sizeof(Change) * (std::size_t{pending} + 1) + 192;
}

FraudCounts::FraudCounts(Region& region, std::uint32_t sets, std::uint32_t pending)
    : extent_(region.make<Extent>()),
      counts_(region.at<Count>(region.carve(sizeof(Count) * (std::size_t{sets} + 1)))),
      changes_(region.at<Change>(region.carve(sizeof(Change) * (std::size_t{pending} + 1)))),
      most_changes_(pending) {}

bool FraudCounts::change(std::uint32_t set, std::int64_t at_us, std::int32_t change, std::int64_t settled_us) {
    Count& count = counts_[set];
    if (at_us <= settled_us) {
        count.settled += change;
        return true;
    }
    // Labels mostly become known in the order they are told.
    const bool is_last = count.last != 0 && changes_[count.last].at_us < at_us;
    std::uint32_t* link = is_last ? &changes_[count.last].next : &count.first;
    std::uint32_t before = is_last ? count.last : 0;
    for (; *link != 0 && changes_[*link].at_us < at_us; link = &changes_[*link].next) before = *link;
    for (std::uint32_t* same = link; *same != 0 && changes_[*same].at_us == at_us; same = &changes_[*same].next) {
        if (changes_[*same].change != -change) {
            before = *same;
            continue;
        }
        // A change that is taken back is as if it had never been.
        const std::uint32_t undone = *same;
        *same = changes_[undone].next;
        if (count.last == undone) count.last = before;
        changes_[undone].next = std::exchange(extent_->free, undone);
        return true;
    }
    if (extent_->free == 0 && extent_->changes == most_changes_) return false;
    std::uint32_t added = extent_->free;
    if (added != 0) {
        extent_->free = changes_[added].next;
    } else {
        added = ++extent_->changes;
    }
    changes_[added] = {at_us, change, *link};
    if (changes_[added].next == 0) count.last = added;
    *link = added;
    return true;
}

void FraudCounts::unite(std::uint32_t kept, std::uint32_t taken) {
    Count& into = counts_[kept];
    Count& from = counts_[taken];
    into.settled += from.settled;
    std::uint32_t* link = &into.first;
    for (std::uint32_t other = from.first; other != 0;) {
        while (*link != 0 && changes_[*link].at_us <= changes_[other].at_us) link = &changes_[*link].next;
        // The rest of one list goes before the next of the other, until nothing is left.
        std::swap(*link, other);
    }
    if (into.last == 0 || (from.last != 0 && changes_[from.last].at_us >= changes_[into.last].at_us)) {
        into.last = from.last;
    }
    from = {};
}

void FraudCounts::settle(std::uint32_t set, std::int64_t until_us) {
    Count& count = counts_[set];
    while (count.first != 0 && changes_[count.first].at_us <= until_us) {
        Change& known = changes_[count.first];
        count.settled += known.change;
        const std::uint32_t next = known.next;
        known.next = std::exchange(extent_->free, count.first);
        count.first = next;
    }
    if (count.first == 0) count.last = 0;
}

std::int64_t FraudCounts::known_at(std::uint32_t set, std::int64_t now_us) const {
    std::int64_t known = counts_[set].settled;
    for (std::uint32_t number = counts_[set].first; number != 0; number = changes_[number].next) {
        if (changes_[number].at_us > now_us) break;
        known += changes_[number].change;
    }
    return known;
}

void FraudCounts::clear(std::uint32_t set) {
    Count& count = counts_[set];
    if (count.first != 0) changes_[count.last].next = std::exchange(extent_->free, count.first);
    count = {};
}

}  // namespace quickthorn
