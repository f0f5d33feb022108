#include "quickthorn/identity.hpp"

#include <bit>
#include <charconv>
#include <cstring>

namespace quickthorn {
namespace {

std::uint64_t load_little_endian(const char* bytes) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes, sizeof word);
    if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap64(word);
    return word;
}

struct SipState {
    std::uint64_t v0, v1, v2, v3;

    void round() {
        v0 += v1;
        v1 = std::rotl(v1, 13) ^ v0;
        v0 = std::rotl(v0, 32);
        v2 += v3;
        v3 = std::rotl(v3, 16) ^ v2;
        v0 += v3;
        v3 = std::rotl(v3, 21) ^ v0;
        v2 += v1;
        v1 = std::rotl(v1, 17) ^ v2;
        v2 = std::rotl(v2, 32);
    }

    void absorb(std::uint64_t word) {
        v3 ^= word;
        round();
        round();
        v0 ^= word;
    }

    std::uint64_t squeeze() {
        for (int i = 0; i < 4; ++i) round();
        return v0 ^ v1 ^ v2 ^ v3;
    }
};

}  // namespace

HashKey HashKey::from_bytes(const std::array<std::uint8_t, 16>& bytes) {
    std::array<char, 16> raw;
    std::memcpy(raw.data(), bytes.data(), raw.size());
    return {load_little_endian(raw.data()), load_little_endian(raw.data() + 8)};
}

Hash128 keyed_hash(const HashKey& key, std::string_view bytes) {
    SipState state{key.k0 ^ 0x736f6d6570736575ULL, key.k1 ^ 0x646f72616e646f6dULL ^ 0xeeULL,
                   key.k0 ^ 0x6c7967656e657261ULL, key.k1 ^ 0x7465646279746573ULL};
    const std::size_t whole = bytes.size() & ~std::size_t{7};
    for (std::size_t at = 0; at < whole; at += 8) state.absorb(load_little_endian(bytes.data() + at));

    std::array<char, 8> tail{};
    if (bytes.size() > whole) std::memcpy(tail.data(), bytes.data() + whole, bytes.size() - whole);
    state.absorb(load_little_endian(tail.data()) | static_cast<std::uint64_t>(bytes.size() & 0xff) << 56);

    state.v2 ^= 0xee;
    Hash128 hash;
    hash.low = state.squeeze();
    state.v1 ^= 0xdd;
    hash.high = state.squeeze();
    return hash;
}

DecimalText::DecimalText(std::int64_t number) {
    const auto end = std::to_chars(digits_.data(), digits_.data() + digits_.size(), number).ptr;
    length_ = static_cast<std::size_t>(end - digits_.data());
}

}  // namespace quickthorn
