#include "quickthorn/components.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "check.hpp"

using namespace quickthorn;

namespace {

constexpr std::uint32_t fields = 3;
constexpr std::uint32_t slots_of[fields] = {2, 0, 1};
constexpr std::uint32_t labelled_most = 10'000;
constexpr std::int64_t before_all_time = std::int64_t{-1} << 62;

struct Seen {
    std::array<quickthorn_member, fields> members;
    std::int64_t now_us;
    std::int64_t with_current;
};
Seen seen;

void look(const quickthorn_member* members, std::int64_t now_us, std::int64_t with_current, double*) {
    std::copy_n(members, fields, seen.members.begin());
    seen.now_us = now_us;
    seen.with_current = with_current;
}

struct Event {
    std::int64_t at_us;
    std::array<int, fields> entities;  // by place; 0 where missing
};

// The same in the plainest way: components are sets of (place, entity), looked for one by one.
class Mirror {
public:
    struct Cluster {
        std::set<std::pair<std::uint32_t, int>> entities;
        std::int64_t first_us;
        std::int64_t newest_us;
        std::vector<std::size_t> events;
    };

    Mirror(std::uint32_t cap, const HistoryLimits& limits) : cap_(cap), limits_(limits) {}

    const Cluster* of(const Event& event, std::uint32_t place, std::int64_t clock_us) const {
        const Cluster* found = raw(place, event.entities[place]);
        return found == nullptr || expired(*found, event, clock_us) ? nullptr : found;
    }

    // Stores the event of a number, from 0 on.
    Linked store(std::size_t number, const Event& event, std::int64_t clock_us) {
        std::int64_t newest_us = before_all_time;
        for (std::uint32_t place = 0; place < fields; ++place) {
            if (const Cluster* cluster = of(event, place, clock_us))
                newest_us = std::max(newest_us, cluster->newest_us);
        }
        if (event.at_us < newest_us - limits_.lateness_us) return Linked::too_late;
        for (std::uint32_t place = 0; place < fields; ++place) {
            if (event.entities[place] == 0 || of(event, place, clock_us) != nullptr) continue;
            if (const Cluster* old = raw(place, event.entities[place]))
                clusters_.erase(clusters_.begin() + (old - clusters_.data()));
            clusters_.push_back({{}, event.at_us, event.at_us, {}});
            clusters_.back().entities.emplace(place, event.entities[place]);
        }
        bool over_cap = false;
        for (std::uint32_t i = 0; i < fields; ++i) {
            for (std::uint32_t j = i + 1; j < fields; ++j) {
                if (event.entities[i] == 0 || event.entities[j] == 0) continue;
                over_cap = !link(raw(i, event.entities[i]), raw(j, event.entities[j])) || over_cap;
            }
        }
        for (std::uint32_t place = 0; place < fields; ++place) {
            if (event.entities[place] == 0) continue;
            Cluster& cluster = *raw(place, event.entities[place]);
            cluster.first_us = std::min(cluster.first_us, event.at_us);
            cluster.newest_us = std::max(cluster.newest_us, event.at_us);
        }
        for (std::uint32_t place = 0; place < fields; ++place) {
            if (event.entities[place] == 0) continue;
            raw(place, event.entities[place])->events.push_back(number);
            break;
        }
        if (over_cap) return Linked::over_cap;
        return event.at_us < newest_us ? Linked::in_place : Linked::in_order;
    }

private:
    bool expired(const Cluster& cluster, const Event& event, std::int64_t clock_us) const {
        const std::int64_t judged_us = std::max(event.at_us, clock_us - limits_.lateness_us);
        return limits_.expire_after_us != 0 && judged_us - cluster.newest_us >= limits_.expire_after_us;
    }

    const Cluster* raw(std::uint32_t place, int entity) const {
        const auto found =
            std::ranges::find_if(clusters_, [&](const Cluster& one) { return one.entities.contains({place, entity}); });
        return found == clusters_.end() ? nullptr : &*found;
    }
    Cluster* raw(std::uint32_t place, int entity) {
        return const_cast<Cluster*>(std::as_const(*this).raw(place, entity));
    }

    bool link(Cluster* one, Cluster* other) {
        if (one == other) return true;
        if (one->entities.size() + other->entities.size() > cap_) return false;
        one->events.insert(one->events.end(), other->events.begin(), other->events.end());
        one->entities.insert(other->entities.begin(), other->entities.end());
        one->first_us = std::min(one->first_us, other->first_us);
        one->newest_us = std::max(one->newest_us, other->newest_us);
        clusters_.erase(clusters_.begin() + (other - clusters_.data()));
        return true;
    }

    std::uint32_t cap_;
    HistoryLimits limits_;
    std::vector<Cluster> clusters_;
};

struct Subject {
    Subject(std::uint32_t cap, const HistoryLimits& limits)
        : declared{slots_of, fields, cap, 0, 0, look, 1, 0},
          region(Components::table_bytes(declared, limits, labelled_most) + 4096),
          components(declared, limits, labelled_most, region) {}

    // Tells the components of an event; the view is good until the next.
    EventView meet(const Event& event, std::int64_t clock_us) {
        for (std::uint32_t place = 0; place < fields; ++place) {
            slots[slots_of[place]] = event.entities[place] != 0;
            // The same name in two fields has the same hash.
            hashes[slots_of[place]] = {static_cast<std::uint64_t>(event.entities[place]) * 0xd6e8feb86659fd93u, 7};
        }
        components.prefetch(slots.data(), hashes.data());
        const EventView view{event.at_us, slots.data(), hashes.data(), clock_us, ++arrivals, nullptr};
        components.find(view);
        return view;
    }

    quickthorn_component declared;
    Region region;
    Components components;
    std::array<quickthorn_slot, fields> slots{};
    std::array<Hash128, fields> hashes{};
    std::int64_t arrivals = 0;
};

// When the events that were stored are known to be fraud, and where the components have them.
struct Labels {
    struct Stored {
        std::uint32_t word;
        std::int64_t arrival;
        std::optional<FraudSpan> fraud;
    };
    std::vector<Stored> stored;

    std::int64_t known_at(const Mirror::Cluster& cluster, std::int64_t now_us) const {
        return std::ranges::count_if(cluster.events, [&](std::size_t number) {
            const std::optional<FraudSpan>& fraud = stored[number].fraud;
            return fraud && fraud->from_us <= now_us && now_us < fraud->until_us;
        });
    }
};

void check_members(const Mirror& mirror, const Labels& labels, const Event& event, std::int64_t clock_us) {
    for (std::uint32_t place = 0; place < fields; ++place) {
        const quickthorn_member& member = seen.members[place];
        CHECK((member.present != 0) == (event.entities[place] != 0));
        if (member.present == 0) continue;
        const Mirror::Cluster* cluster = mirror.of(event, place, clock_us);
        CHECK((member.component != 0) == (cluster != nullptr));
        CHECK(member.size == (cluster != nullptr ? static_cast<std::int64_t>(cluster->entities.size()) : 0));
        if (cluster == nullptr) continue;
        CHECK(member.first_us == cluster->first_us && member.newest_us == cluster->newest_us);
        if (cluster->newest_us <= event.at_us) CHECK(member.fraud_count == labels.known_at(*cluster, event.at_us));
        for (std::uint32_t before = 0; before < place; ++before) {
            if (seen.members[before].present == 0) continue;
            const bool same = mirror.of(event, before, clock_us) == cluster;
            CHECK((seen.members[before].component == member.component) == same);
        }
    }
}

// What an event's entities are said to be together with is what they are together with once it is stored.
void check_joined(const Mirror& mirror, const Event& event, std::int64_t clock_us,
                  const std::array<quickthorn_member, fields>& foreseen) {
    for (std::uint32_t i = 0; i < fields; ++i) {
        for (std::uint32_t j = 0; j < i; ++j) {
            if (event.entities[i] == 0 || event.entities[j] == 0) continue;
            const Mirror::Cluster* one = mirror.of(event, i, clock_us);
            if (one == nullptr) continue;  // so late that it has expired already
            CHECK((foreseen[i].joined == foreseen[j].joined) == (one == mirror.of(event, j, clock_us)));
        }
    }
}

// Returns how many entities were forgotten.
std::uint64_t links_what_plain_sets_link(std::uint64_t seed, std::uint32_t cap, const HistoryLimits& limits) {
    Subject subject(cap, limits);
    Mirror mirror(cap, limits);
    Labels labels;
    std::mt19937_64 random(seed);
    const int names = 1 + static_cast<int>(random() % 30);
    std::int64_t now_us = 0;
    std::int64_t clock_us = before_all_time;
    std::map<Linked, int> answers;
    for (int step = 0; step < 6'000; ++step) {
        now_us += static_cast<std::int64_t>(random() % 3);
        Event event{now_us - (random() % 4 == 0 ? static_cast<std::int64_t>(random() % 12) : 0), {}};
        for (int& entity : event.entities) {
            entity = random() % 5 == 0 ? 0 : 1 + static_cast<int>(random() % static_cast<std::uint64_t>(names));
        }
        const EventView view = subject.meet(event, clock_us);
        const bool with_current = random() % 2 == 0;
        subject.components.read(view, with_current, nullptr);
        CHECK(seen.now_us == event.at_us && seen.with_current == (with_current ? 1 : 0));
        check_members(mirror, labels, event, clock_us);
        const auto foreseen = seen.members;
        if (random() % 8 == 0) continue;  // reading changes nothing
        const Linked expected = mirror.store(labels.stored.size(), event, clock_us);
        CHECK(subject.components.store(view) == expected);
        labels.stored.push_back({subject.components.label_word(), view.arrival, std::nullopt});
        ++answers[expected];
        if (expected != Linked::too_late) check_joined(mirror, event, clock_us, foreseen);
        clock_us = std::max(clock_us, event.at_us);
        // Of some event up to now something else becomes known, at a time before or after.
        Labels::Stored& told = labels.stored[random() % labels.stored.size()];
        const std::optional<FraudSpan> before = told.fraud;
        const std::int64_t from_us = now_us - 10 + static_cast<std::int64_t>(random() % 30);
        const std::int64_t until_us = from_us + 1 + static_cast<std::int64_t>(random() % 20);
        if (random() % 3 == 0)
            told.fraud = std::nullopt;
        else
            told.fraud = FraudSpan{from_us, random() % 2 == 0 ? FraudSpan::for_good : until_us};
        CHECK(subject.components.relabel(told.word, told.arrival, before, told.fraud));
    }
    CHECK(answers[Linked::in_order] > 0 && answers[Linked::out_of_space] == 0);
    if (limits.lateness_us == 0) CHECK(answers[Linked::in_place] == 0);
    return subject.components.reclaimed();
}

void what_has_expired_makes_room() {
    HistoryLimits limits;
    limits.max_keys = 2;  // for each field: six in all
    limits.expire_after_us = 100;
    Subject subject(100, limits);
    std::int64_t clock_us = before_all_time;
    const auto store = [&](const Event& event) {
        const EventView view = subject.meet(event, clock_us);
        clock_us = std::max(clock_us, event.at_us);
        return subject.components.store(view);
    };
    CHECK(store({0, {1, 1, 1}}) == Linked::in_order);
    CHECK(store({1, {2, 2, 2}}) == Linked::in_order);
    CHECK(store({2, {3, 2, 0}}) == Linked::out_of_space);
    CHECK(subject.components.entities() == 6);
    CHECK(store({101, {3, 3, 3}}) == Linked::in_order);  // the first three have left
    CHECK(store({150, {4, 0, 0}}) == Linked::in_order);
    // Round after round, all memory is used anew.
    for (int round = 0; round < 1'000; ++round) {
        CHECK(store({1'000 + 200 * round, {3 * round + 1, 3 * round + 2, 0}}) == Linked::in_order);
        CHECK(store({1'001 + 200 * round, {3 * round + 3, 3 * round + 2, 1}}) == Linked::in_order);
    }
    CHECK(subject.components.entities() <= 6);
}

void a_way_to_the_root_is_no_longer_than_the_logarithm() {
    // Equals are united with equals, the worst case; a second walk over it all must stay as quick as the first.
    HistoryLimits limits;
    limits.max_keys = 1 << 15;
    Subject subject(1u << 17, limits);
    constexpr int names = 1 << 14;
    for (int apart = 1; apart < names; apart *= 2) {
        for (int name = 0; name + apart < names; name += 2 * apart) {
            // A device of its own for each link, so that sizes stay balanced.
            const EventView view = subject.meet({apart, {name + 1, 0, name * 16 + apart}}, 0);
            subject.components.store(view);
            const EventView other = subject.meet({apart, {name + apart + 1, 0, name * 16 + apart}}, 0);
            subject.components.store(other);
        }
    }
    const EventView view = subject.meet({names, {names, 0, 0}}, 0);
    subject.components.read(view, false, nullptr);
    CHECK(seen.members[0].size > names);
}

}  // namespace

int main() {
    std::uint64_t seed = 1;
    std::uint64_t forgotten = 0;
    for (const std::uint32_t cap : {2u, 3u, 7u, 1'000u}) {
        for (const std::int64_t lateness_us : {0, 5}) {
            for (const std::int64_t expire_after_us : {0, 3, 20}) {
                HistoryLimits limits;
                limits.max_keys = 1'000;
                limits.lateness_us = lateness_us;
                limits.expire_after_us = expire_after_us;
                forgotten += links_what_plain_sets_link(seed++, cap, limits);
            }
        }
    }
    CHECK(forgotten > 1'000);
    what_has_expired_makes_room();
    a_way_to_the_root_is_no_longer_than_the_logarithm();
}
