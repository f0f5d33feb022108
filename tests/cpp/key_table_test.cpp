#include "quickthorn/key_table.hpp"

#include <random>
#include <unordered_map>

#include "check.hpp"

using namespace quickthorn;

namespace {

// Every operation is mirrored into a plain map, through many bucket splits.
void agrees_with_a_map() {
    constexpr std::uint32_t max_keys = 40'000;
    Region region(KeyTable::bytes(max_keys, 16) + 4096);
    KeyTable table(region, max_keys, 16);
    std::unordered_map<std::uint64_t, std::int64_t> mirror;
    std::mt19937_64 random(7);
    for (int step = 0; step < 200'000; ++step) {
        // Low bits collide on purpose: chains must be walked and split correctly.
        const std::uint64_t key = random() % 60'000;
        const Hash128 hash{key % 5'000 * 0x9E3779B97F4A7C15ULL, key};
        KeyRecord* found = table.find(hash);
        const auto mirrored = mirror.find(key);
        CHECK((found != nullptr) == (mirrored != mirror.end()));
        if (found == nullptr) {
            found = table.insert(hash);
            CHECK((found == nullptr) == (mirror.size() == max_keys));
            if (found == nullptr) continue;
            CHECK(found->first == 0 && found->last == 0 && found->capacity == 0);
            mirror[key] = 0;
        } else {
            CHECK(found->first == mirrored->second);
            if (random() % 4 == 0) {
                table.erase(found);
                mirror.erase(mirrored);
                continue;
            }
        }
        found->first = ++mirror[key];
    }
    CHECK(table.keys() == mirror.size());
    CHECK(table.records() >= table.keys());
}

void records_do_not_touch_each_other() {
    Region region(KeyTable::bytes(3, 200) + 4096);
    KeyTable table(region, 3, 200);
    const Hash128 names[] = {{1, 1}, {2, 2}, {3, 3}};
    for (const Hash128& name : names) {
        auto* windows = static_cast<unsigned char*>(table.insert(name)->state());
        for (int i = 0; i < 200; ++i) windows[i] = static_cast<unsigned char>(name.low);
    }
    CHECK(table.insert({4, 4}) == nullptr);
    for (const Hash128& name : names) {
        KeyRecord* record = table.find(name);
        CHECK(record != nullptr && record->hash == name);
        CHECK(static_cast<unsigned char*>(record->state())[199] == name.low);
    }
}

}  // namespace

int main() {
    agrees_with_a_map();
    records_do_not_touch_each_other();
}
