// How a label finds its event: what is remembered of every event whose id is, and who keeps something of it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "quickthorn/identity.hpp"
#include "quickthorn/library_abi.h"
#include "quickthorn/region.hpp"

namespace quickthorn {

// From `available_us` on it is known whether an event is fraud.
struct Label {
    Hash128 event;
    bool fraud = false;
    std::int64_t available_us = 0;
};

// From `from_us` on an event is known to be fraud, and no longer at `until_us`.
struct FraudSpan {
    static constexpr std::int64_t for_good = INT64_MAX;

    std::int64_t from_us;
    std::int64_t until_us;
};

// How what is known of one event has changed: the last two changes, as a quickthorn_row_label holds them.
class LabelChanges {
public:
    // Of two labels from the same time the one that is told last counts; what only repeats the change before it is
    // none. So the order in which labels are told does not matter otherwise. False where nothing has changed.
    bool tell(std::int64_t available_us, bool fraud);

    // What was known at that time: 1 of fraud, 0 of none, −1 nothing.
    int known_at(std::int64_t now_us) const;

    // The one stretch of time in which it is known to be fraud.
    std::optional<FraudSpan> known_as_fraud() const;

    const std::array<std::int64_t, 2>& words() const { return words_; }

    friend bool operator==(const LabelChanges&, const LabelChanges&) = default;

private:
    std::array<std::int64_t, 2> words_{QUICKTHORN_NO_LABEL, QUICKTHORN_NO_LABEL};  // the newest first
};

// An event that a label can still be told of.
struct LabelledEvent {
    std::int64_t at_us;
    std::int64_t arrival;  // its number in order of arrival, from 1; no other event ever has it
    LabelChanges changes;
};

// One entry for each id that SeenIds remembers, at the same place, so both have one limit. Behind an entry lies one
// word for each keeper: a subject that keeps something of events' labels, and by its word finds what it keeps of this
// event. Without keepers there is no memory at all.
class LabelledEvents {
public:
    static std::size_t bytes(std::uint32_t limit, std::uint32_t keepers);

    LabelledEvents(Region& region, std::uint32_t limit, std::uint32_t keepers);

    bool any() const { return keepers_ != 0; }

    // Begins an event at its id's place, in place of the one that was remembered there.
    LabelledEvent& begin(std::uint32_t place, std::int64_t at_us);

    LabelledEvent& at(std::uint32_t place) { return *reinterpret_cast<LabelledEvent*>(entries_ + place * stride_); }

    // A keeper's word of an event; 0 in a new one.
    std::uint32_t& word(LabelledEvent& event, std::size_t keeper) {
        return reinterpret_cast<std::uint32_t*>(&event + 1)[keeper];
    }

private:
    static std::size_t stride(std::uint32_t keepers);

    std::uint32_t keepers_;
    std::size_t stride_;
    std::int64_t* arrivals_ = nullptr;  // events begun so far
    std::byte* entries_ = nullptr;
};

}  // namespace quickthorn
