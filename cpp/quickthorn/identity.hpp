// Identity without identifiers: every entity key and event id is kept only as a 128-bit keyed hash.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace quickthorn {

struct Hash128 {
    std::uint64_t low = 0;
    std::uint64_t high = 0;

    friend bool operator==(const Hash128&, const Hash128&) = default;
};

// The secret under which an engine hashes; without it a hash says nothing about the identifier.
struct HashKey {
    std::uint64_t k0 = 0;
    std::uint64_t k1 = 0;

    static HashKey from_bytes(const std::array<std::uint8_t, 16>& bytes);
};

// SipHash-2-4 with a 128-bit result (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012).
Hash128 keyed_hash(const HashKey& key, std::string_view bytes);

// An integer identifier is its decimal text, so that 7 in a Parquet column and "7" in JSON are one key.
class DecimalText {
public:
    explicit DecimalText(std::int64_t number);
    std::string_view view() const { return {digits_.data(), length_}; }

private:
    std::array<char, 20> digits_;
    std::size_t length_;
};

// The hashes of integer identifiers, as of their decimal texts; as many as there are numbers. Several are computed at
// once where the processor can: a hash is a long chain of short steps.
void keyed_hashes(const HashKey& key, std::span<const std::int64_t> numbers, Hash128* hashes);

// The hash of several identifiers that are a key together. Both halves are random already, so a sum in which each place
// has a weight of its own is one too, and pairs meet no more often than hashes do.
inline Hash128 joined(const Hash128& first, const Hash128& second) {
    constexpr std::uint64_t weight = 0x9e3779b97f4a7c15;  // odd, so that nothing is lost
    return {first.low * weight + second.low, first.high * weight + second.high};
}

}  // namespace quickthorn
