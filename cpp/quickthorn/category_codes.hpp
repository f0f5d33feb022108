// The dictionary of a categorical feature: the values it was trained on, and the codes that the forest knows them by.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace quickthorn {

// What becomes of a value that is in no dictionary: what the library that trained the model does with it. Unmatched, it
// is another category than those that splits ask for, which a missing value may be one of.
enum class UnknownCategory : std::uint8_t { missing, refused, unmatched };

// The code of an unmatched value: below zero, it is in no split's set.
inline constexpr double unmatched_code = -1.0;

class CategoryCodes {
public:
    // A feature without a dictionary takes numbers as they are, and no text.
    bool empty() const { return texts_.empty() && numbers_.empty(); }
    bool takes_text() const { return !texts_.empty(); }

    // The code is the value's place among those added.
    void add(std::string text) { texts_.emplace(std::move(text), next_++); }
    void add(double number) { numbers_.emplace(number, next_++); }

    // A value's code; null where the dictionary has no such value.
    const double* find(std::string_view text) const { return found(texts_, text); }
    const double* find(double number) const { return found(numbers_, number); }

private:
    struct TextHash {
        using is_transparent = void;
        std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
    };

    template <class Map, class Key>
    static const double* found(const Map& map, const Key& key) {
        const auto entry = map.find(key);
        return entry != map.end() ? &entry->second : nullptr;
    }

    std::unordered_map<std::string, double, TextHash, std::equal_to<>> texts_;
    std::unordered_map<double, double> numbers_;
    double next_ = 0;
};

}  // namespace quickthorn
