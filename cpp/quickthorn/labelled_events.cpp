#include "quickthorn/labelled_events.hpp"

namespace quickthorn {
namespace {

constexpr std::int64_t none = QUICKTHORN_NO_LABEL;

std::int64_t change(std::int64_t available_us, bool fraud) { return available_us * 2 + (fraud ? 1 : 0); }
std::int64_t time_us(std::int64_t change) { return change >> 1; }
bool fraud(std::int64_t change) { return (change & 1) != 0; }

}  // namespace

bool LabelChanges::tell(std::int64_t available_us, bool is_fraud) {
    // All changes in order of time, this one among them and in place of one from the same time.
    std::array<std::int64_t, 3> told{};
    std::size_t count = 0;
    const std::int64_t added = change(available_us, is_fraud);
    for (const std::int64_t known : {words_[1], words_[0]}) {
        if (known != none && time_us(known) < available_us) told[count++] = known;
    }
    told[count++] = added;
    for (const std::int64_t known : {words_[1], words_[0]}) {
        if (known != none && time_us(known) > available_us) told[count++] = known;
    }
    const LabelChanges before = *this;
    words_ = {none, none};
    for (std::size_t i = 0; i < count; ++i) {
        if (words_[0] == none || fraud(told[i]) != fraud(words_[0])) words_ = {told[i], words_[0]};
    }
    return *this != before;
}

int LabelChanges::known_at(std::int64_t now_us) const {
    for (const std::int64_t known : words_) {
        if (known != none && time_us(known) <= now_us) return fraud(known) ? 1 : 0;
    }
    return -1;
}

std::optional<FraudSpan> LabelChanges::known_as_fraud() const {
    const auto [newest, before] = words_;
    if (newest == none) return std::nullopt;
    if (fraud(newest)) return FraudSpan{time_us(newest), FraudSpan::for_good};
    // Two changes in a row are never the same, so the one before was to fraud.
    if (before == none) return std::nullopt;
    return FraudSpan{time_us(before), time_us(newest)};
}

std::size_t LabelledEvents::stride(std::uint32_t keepers) {
    return (sizeof(LabelledEvent) + sizeof(std::uint32_t) * keepers + 7) / 8 * 8;
}

std::size_t LabelledEvents::bytes(std::uint32_t limit, std::uint32_t keepers) {
    return keepers == 0 ? 0 : 64 + stride(keepers) * limit + 64;
}

LabelledEvents::LabelledEvents(Region& region, std::uint32_t limit, std::uint32_t keepers)
    : keepers_(keepers),
      stride_(stride(keepers)) {
    if (keepers == 0) return;
    arrivals_ = region.make<std::int64_t>();
    entries_ = region.at<std::byte>(region.carve(stride_ * limit));
}

LabelledEvent& LabelledEvents::begin(std::uint32_t place, std::int64_t at_us) {
    LabelledEvent& event = at(place);
    event = {at_us, ++*arrivals_, {}};
    for (std::uint32_t keeper = 0; keeper < keepers_; ++keeper) word(event, keeper) = 0;
    return event;
}

}  // namespace quickthorn
