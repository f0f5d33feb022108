#include "quickthorn/identity.hpp"

#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "check.hpp"

using namespace quickthorn;

namespace {

// The published vectors of SipHash-2-4-128: key 00 01 … 0f, messages of 0, 1, 2, … bytes 00 01 02 ….
void published_vectors() {
    constexpr std::array<std::array<std::uint8_t, 16>, 4> expected = {{
        {0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02, 0x93},
        {0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44, 0x34, 0x76, 0x59, 0x11, 0x9b, 0x22, 0xfc, 0x45},
        {0x81, 0x77, 0x22, 0x8d, 0xa4, 0xa4, 0x5d, 0xc7, 0xfc, 0xa3, 0x8b, 0xde, 0xf6, 0x0a, 0xff, 0xe4},
        {0x9c, 0x70, 0xb6, 0x0c, 0x52, 0x67, 0xa9, 0x4e, 0x5f, 0x33, 0xb6, 0xb0, 0x29, 0x85, 0xed, 0x51},
    }};
    std::array<std::uint8_t, 16> key_bytes{};
    std::string message;
    for (std::uint8_t i = 0; i < 16; ++i) key_bytes[i] = i;
    const HashKey key = HashKey::from_bytes(key_bytes);
    for (const auto& vector : expected) {
        const Hash128 hash = keyed_hash(key, message);
        std::array<std::uint8_t, 16> found{};
        std::memcpy(found.data(), &hash.low, 8);
        std::memcpy(found.data() + 8, &hash.high, 8);
        CHECK(found == vector);
        message.push_back(static_cast<char>(message.size()));
    }
}

void integers_hash_as_their_decimal_text() {
    const HashKey key{11, 22};
    CHECK(keyed_hash(key, DecimalText(-42).view()) == keyed_hash(key, "-42"));
    CHECK(keyed_hash(key, DecimalText(INT64_MIN).view()) == keyed_hash(key, "-9223372036854775808"));
    CHECK(!(keyed_hash(key, DecimalText(7).view()) == keyed_hash(key, DecimalText(8).view())));
}

// In runs of any length, with texts of one, two and three words next to each other or mixed.
void many_integers_hash_as_each_of_them() {
    const HashKey key{11, 22};
    std::vector<std::int64_t> numbers;
    for (std::int64_t i = 0; i < 23; ++i) numbers.push_back(9'999'990 + i);
    for (const std::int64_t far : {std::int64_t{1}, std::int64_t{-1'000'000'000'000}, INT64_MIN + 100}) {
        for (std::int64_t i = 0; i < 12; ++i) numbers.push_back(far + i);
    }
    // Every number of digits, and next to it the numbers that have one more and one less.
    for (std::int64_t power = 1; power <= 100'000'000; power *= 10) {
        for (std::int64_t near = -1; near <= 1; ++near) numbers.push_back(power + near);
    }
    for (std::int64_t number = 0; number < 10'000'000; number += 99'991) numbers.push_back(number);
    for (std::size_t count = 0; count <= numbers.size(); ++count) {
        std::vector<Hash128> hashes(count);
        keyed_hashes(key, std::span(numbers).first(count), hashes.data());
        for (std::size_t i = 0; i < count; ++i) {
            CHECK(hashes[i] == keyed_hash(key, std::to_string(numbers[i])));
        }
    }
}

void another_key_is_another_hash() { CHECK(!(keyed_hash({1, 2}, "c-9") == keyed_hash({1, 3}, "c-9"))); }

}  // namespace

int main() {
    published_vectors();
    integers_hash_as_their_decimal_text();
    many_integers_hash_as_each_of_them();
    another_key_is_another_hash();
}
