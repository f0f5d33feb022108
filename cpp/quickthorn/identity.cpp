#include "quickthorn/identity.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>

namespace quickthorn {
namespace {

Hash128 hash_of(const HashKey& key, std::int64_t number) {
    const DecimalText digits(number);
    return keyed_hash(key, digits.view());
}

std::uint64_t load_little_endian(const char* bytes) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes, sizeof word);
    if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap64(word);
    return word;
}

// The state of one hash in a word, or of several side by side in a vector of words.
template <class Word>
struct SipState {
    Word v0, v1, v2, v3;

    [[gnu::always_inline]] explicit SipState(const HashKey& key)
        : v0(Word{} + (key.k0 ^ 0x736f6d6570736575ULL)),
          v1(Word{} + (key.k1 ^ 0x646f72616e646f6dULL ^ 0xeeULL)),
          v2(Word{} + (key.k0 ^ 0x6c7967656e657261ULL)),
          v3(Word{} + (key.k1 ^ 0x7465646279746573ULL)) {}

    [[gnu::always_inline]] static void rotate(Word& word, int bits) { word = word << bits | word >> (64 - bits); }

    [[gnu::always_inline]] void round() {
        v0 += v1;
        rotate(v1, 13);
        v1 ^= v0;
        rotate(v0, 32);
        v2 += v3;
        rotate(v3, 16);
        v3 ^= v2;
        v0 += v3;
        rotate(v3, 21);
        v3 ^= v0;
        v2 += v1;
        rotate(v1, 17);
        v1 ^= v2;
        rotate(v2, 32);
    }

    [[gnu::always_inline]] void absorb(const Word& word) {
        v3 ^= word;
        round();
        round();
        v0 ^= word;
    }

    [[gnu::always_inline]] void squeeze(Word& low, Word& high) {
        v2 ^= Word{} + 0xee;
        for (int i = 0; i < 4; ++i) round();
        low = v0 ^ v1 ^ v2 ^ v3;
        v1 ^= Word{} + 0xdd;
        for (int i = 0; i < 4; ++i) round();
        high = v0 ^ v1 ^ v2 ^ v3;
    }
};

// Several messages of as many words each, word by word beside each other.
constexpr std::size_t lanes = 8;
constexpr std::size_t most_words = 3;  // of the longest decimal text, its length in the last byte
using Lanes __attribute__((vector_size(8 * lanes))) = std::uint64_t;

[[gnu::always_inline]] inline void hash_words(const HashKey& key, const Lanes* words, std::size_t word_count,
                                              Hash128* hashes) {
    SipState<Lanes> state(key);
    for (std::size_t word = 0; word < word_count; ++word) state.absorb(words[word]);
    Lanes low;
    Lanes high;
    state.squeeze(low, high);
    const Lanes first = __builtin_shufflevector(low, high, 0, 8, 1, 9, 2, 10, 3, 11);
    const Lanes last = __builtin_shufflevector(low, high, 4, 12, 5, 13, 6, 14, 7, 15);
    std::memcpy(static_cast<void*>(hashes), &first, sizeof first);
    std::memcpy(static_cast<void*>(hashes + lanes / 2), &last, sizeof last);
}

// A number of at most seven digits is one word: its decimal text, and its length in the last byte. All digits come at
// once: the number is split into halves, quarters and digits within the word, the first digit in its lowest byte (after
// Khuong, "How to print integers really fast", 2017).
constexpr std::uint64_t short_numbers = 10'000'000;

[[gnu::always_inline]] inline void hash_short(const HashKey& key, const std::int64_t* numbers, Hash128* hashes) {
    Lanes value;
    std::memcpy(&value, numbers, sizeof value);
    const Lanes halves = value * 109'951'163 >> 40;  // value / 10'000
    Lanes digits = halves | (value - 10'000 * halves) << 32;
    const Lanes hundreds = (digits * 10'486 >> 20) & 0x0000'007f'0000'007f;
    digits = hundreds | (digits - 100 * hundreds) << 16;
    const Lanes tens = (digits * 103 >> 10) & 0x000f'000f'000f'000f;
    digits = tens | (digits - 10 * tens) << 8;
    Lanes length = Lanes{} + 1;
    for (std::uint64_t power = 10; power < short_numbers; power *= 10) {
        length -= (Lanes)(value >= power);  // a comparison that holds is minus one
    }
    const Lanes word = (digits | 0x3030'3030'3030'3030) >> 8 * (8 - length) | length << 56;
    hash_words(key, &word, 1, hashes);
}

// Both of several numbers at once, as wide as the processor can.
struct HashLanes {
    void (*of_words)(const HashKey& key, const Lanes* words, std::size_t word_count, Hash128* hashes);
    void (*of_short)(const HashKey& key, const std::int64_t* numbers, Hash128* hashes);
};

#if defined(__x86_64__)
[[gnu::target("avx2")]] void hash_words_avx2(const HashKey& key, const Lanes* words, std::size_t word_count,
                                             Hash128* hashes) {
    hash_words(key, words, word_count, hashes);
}

[[gnu::target("avx2")]] void hash_short_avx2(const HashKey& key, const std::int64_t* numbers, Hash128* hashes) {
    hash_short(key, numbers, hashes);
}

[[gnu::target("avx512f,avx512dq")]] void hash_words_avx512(const HashKey& key, const Lanes* words,
                                                           std::size_t word_count, Hash128* hashes) {
    hash_words(key, words, word_count, hashes);
}

[[gnu::target("avx512f,avx512dq")]] void hash_short_avx512(const HashKey& key, const std::int64_t* numbers,
                                                           Hash128* hashes) {
    hash_short(key, numbers, hashes);
}

HashLanes widest_lanes() {
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")) {
        return {hash_words_avx512, hash_short_avx512};
    }
    if (__builtin_cpu_supports("avx2")) return {hash_words_avx2, hash_short_avx2};
    return {hash_words, hash_short};
}
#else
HashLanes widest_lanes() { return {hash_words, hash_short}; }
#endif

// The decimal text of a number as words of a message, and after it its length; says how many words that takes.
std::size_t decimal_message(std::int64_t number, std::array<std::uint64_t, most_words>& message) {
    std::array<char, 8 * most_words> text{};
    const auto end = std::to_chars(text.data(), text.data() + text.size(), number).ptr;
    const auto length = static_cast<std::size_t>(end - text.data());
    const std::size_t count = length / 8 + 1;
    for (std::size_t word = 0; word < most_words; ++word) message[word] = load_little_endian(text.data() + 8 * word);
    message[count - 1] |= static_cast<std::uint64_t>(length) << 56;
    return count;
}

}  // namespace

HashKey HashKey::from_bytes(const std::array<std::uint8_t, 16>& bytes) {
    std::array<char, 16> raw;
    std::memcpy(raw.data(), bytes.data(), raw.size());
    return {load_little_endian(raw.data()), load_little_endian(raw.data() + 8)};
}

Hash128 keyed_hash(const HashKey& key, std::string_view bytes) {
    SipState<std::uint64_t> state(key);
    const std::size_t whole = bytes.size() & ~std::size_t{7};
    for (std::size_t at = 0; at < whole; at += 8) state.absorb(load_little_endian(bytes.data() + at));

    std::array<char, 8> tail{};
    if (bytes.size() > whole) std::memcpy(tail.data(), bytes.data() + whole, bytes.size() - whole);
    state.absorb(load_little_endian(tail.data()) | static_cast<std::uint64_t>(bytes.size() & 0xff) << 56);

    Hash128 hash;
    state.squeeze(hash.low, hash.high);
    return hash;
}

void keyed_hashes(const HashKey& key, std::span<const std::int64_t> numbers, Hash128* hashes) {
    static const HashLanes hash_lanes = widest_lanes();
    for (; numbers.size() >= lanes; numbers = numbers.subspan(lanes), hashes += lanes) {
        bool all_short = true;
        for (std::size_t lane = 0; lane < lanes; ++lane) {
            all_short &= static_cast<std::uint64_t>(numbers[lane]) < short_numbers;
        }
        if (all_short) {
            hash_lanes.of_short(key, numbers.data(), hashes);
            continue;
        }
        std::array<Lanes, most_words> words;
        std::size_t fewest = most_words;
        std::size_t most = 0;
        for (std::size_t lane = 0; lane < lanes; ++lane) {
            std::array<std::uint64_t, most_words> message;
            const std::size_t count = decimal_message(numbers[lane], message);
            for (std::size_t word = 0; word < most_words; ++word) words[word][lane] = message[word];
            fewest = std::min(fewest, count);
            most = std::max(most, count);
        }
        if (fewest == most) {
            hash_lanes.of_words(key, words.data(), most, hashes);
        } else {
            for (std::size_t lane = 0; lane < lanes; ++lane) hashes[lane] = hash_of(key, numbers[lane]);
        }
    }
    for (const std::int64_t number : numbers) *hashes++ = hash_of(key, number);
}

DecimalText::DecimalText(std::int64_t number) {
    const auto end = std::to_chars(digits_.data(), digits_.data() + digits_.size(), number).ptr;
    length_ = static_cast<std::size_t>(end - digits_.data());
}

}  // namespace quickthorn
