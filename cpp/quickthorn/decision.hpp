// The last stage: a score becomes an outcome, by the policy's rules, caps and thresholds.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <vector>

#include "quickthorn/identity.hpp"
#include "quickthorn/library_abi.h"

namespace quickthorn {

// How an event was taken; the numbers are what batches return. The most severe that applies is reported.
enum class Status : std::uint8_t {
    ok = 0,
    capped = 1,     // not all of the entity's history is kept: its ring, the keys or the row space are at their limit
    late = 2,       // older than the newest event of one of its entities
    duplicate = 3,  // an event of this id was accepted before
    invalid = 4,    // does not fit the schema; nothing was scored or stored
};

inline constexpr std::size_t status_count = 5;

// A place among the policy's outcomes, the mildest first: its severity, and what batches return.
using Outcome = std::uint8_t;

inline constexpr std::size_t most_outcomes = 8;
inline constexpr Outcome no_outcome = 0xff;

// What decided, where it was not the policy's own thresholds: a place in the names that Python has of these, in this
// order, then of the rules, caps and segments.
enum class Fixed : std::int32_t { thresholds = -1, kill_switch = 0, fallback = 1, exploration = 2, count = 3 };

// What is decided about one event.
struct Verdict {
    double score = std::numeric_limits<double>::quiet_NaN();
    double margin = std::numeric_limits<double>::quiet_NaN();
    double propensity = 1.0;  // the chance that the event had of the outcome it was given
    std::int32_t rule = static_cast<std::int32_t>(Fixed::thresholds);
    Outcome outcome = 0;
    Status status = Status::ok;
};

enum class Scale : std::uint8_t { score, aligned_score, expected_loss };

// From which value on which outcome is given.
struct Thresholds {
    struct Step {
        double least;
        Outcome outcome;
    };

    Scale on = Scale::score;
    std::uint32_t count = 0;
    std::array<Step, most_outcomes> steps{};  // the severest first

    Outcome outcome(double value) const {
        for (std::uint32_t i = 0; i < count; ++i) {
            if (value >= steps[i].least) return steps[i].outcome;
        }
        return 0;
    }
};

// A share of events, drawn by the hash of their ids, that are given another outcome than their thresholds say.
struct Exploration {
    double share = 0.0;
    Outcome outcome = 0;
    std::uint32_t instead_of = 0;  // a bit for each outcome that may be replaced
    std::uint64_t seed = 0;
};

struct PolicyError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct Policy {
    std::uint32_t outcome_count = 1;
    Thresholds thresholds;
    std::vector<Thresholds> segments;
    std::vector<Outcome> rules;  // what the allow and block rules decide, in their order of precedence
    std::vector<Outcome> caps;   // what an exceeded cap raises the outcome to, the severest first
    std::array<Outcome, status_count> fallback = {no_outcome, no_outcome, no_outcome, no_outcome, 0};
    Outcome unscored = 0;  // where what the thresholds are on is no number
    Exploration exploration;

    // Throws PolicyError where the library was compiled for another policy; null is one without conditions.
    void check(const quickthorn_policy* conditions) const;

    // Fills in outcome, rule and propensity of a verdict that has its score and margin.
    void judge(const quickthorn_policy* conditions, const quickthorn_slot* slots, const double* features,
               const Hash128& id, Verdict& verdict) const;

    // Gives a verdict its status, and the outcome of that where the policy has one and no rule decided.
    void settle(Status status, Verdict& verdict) const {
        verdict.status = status;
        const Outcome wanted = fallback[static_cast<std::size_t>(status)];
        if (wanted != no_outcome) [[unlikely]]
            fall_back(wanted, verdict);
    }

    // Of an event that no row could be made of.
    Verdict invalid() const;

private:
    bool decided_by_rule(const Verdict& verdict) const {
        return verdict.rule >= static_cast<std::int32_t>(Fixed::count) &&
               verdict.rule < static_cast<std::int32_t>(Fixed::count) + static_cast<std::int32_t>(rules.size());
    }
    void fall_back(Outcome wanted, Verdict& verdict) const;
    void judge_conditions(const quickthorn_policy& conditions, const quickthorn_slot* slots, const double* features,
                          const Hash128& id, Verdict& verdict) const;
    void judge_thresholds(const Thresholds& judging, double value, Verdict& verdict) const;
    void explore(const Hash128& id, Verdict& verdict) const;
};

}  // namespace quickthorn
