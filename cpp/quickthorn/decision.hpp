// The last stage: a score becomes an outcome.
#pragma once

#include <cmath>
#include <cstdint>

namespace quickthorn {

// In order of severity; the numbers are what batches return.
enum class Outcome : std::uint8_t { approve = 0, review = 1, decline = 2 };

struct Policy {
    double review = 1.0;   // scores from here on go to a person
    double decline = 1.0;  // scores from here on are refused
    Outcome invalid = Outcome::review;

    Outcome outcome(double score) const {
        if (score >= decline) return Outcome::decline;
        if (score >= review) return Outcome::review;
        // A score that is not a number fails both comparisons, and must not be approved for that.
        return std::isnan(score) ? invalid : Outcome::approve;
    }
};

// How an event was taken; the numbers are what batches return. The most severe that applies is reported.
enum class Status : std::uint8_t {
    ok = 0,
    capped = 1,     // not all of the entity's history is kept: its ring, the keys or the row space are at their limit
    late = 2,       // older than the newest event of one of its entities
    duplicate = 3,  // an event of this id was accepted before
    invalid = 4,    // does not fit the schema; nothing was scored or stored
};

}  // namespace quickthorn
