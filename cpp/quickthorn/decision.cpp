#include "quickthorn/decision.hpp"

#include <cmath>
#include <string>

#include "quickthorn/aligned_score.hpp"

namespace quickthorn {
namespace {

constexpr double missing = std::numeric_limits<double>::quiet_NaN();
constexpr auto first_named = static_cast<std::int32_t>(Fixed::count);

void check_count(const char* what, std::size_t expected, std::uint32_t found) {
    if (expected == found) return;
    throw PolicyError("policy: expected a library with the conditions of " + std::to_string(expected) + " " + what +
                      ", found one with " + std::to_string(found));
}

double aligned_or_missing(double score) {
    const std::int16_t aligned = aligned_score(score);
    return aligned == no_aligned_score ? missing : static_cast<double>(aligned);
}

// A number from 0 to 1 that only the id, the engine's hash key and the seed decide: the finaliser of splitmix64 over
// the keyed hash (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
double draw_of(const Hash128& id, std::uint64_t seed) {
    std::uint64_t mixed = id.high + seed * 0x9e3779b97f4a7c15;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
    mixed ^= mixed >> 31;
    return static_cast<double>(mixed >> 11) * 0x1p-53;
}

}  // namespace

void Policy::check(const quickthorn_policy* conditions) const {
    check_count("rules", rules.size(), conditions != nullptr ? conditions->rule_count : 0);
    check_count("caps", caps.size(), conditions != nullptr ? conditions->cap_count : 0);
    check_count("segments", segments.size(), conditions != nullptr ? conditions->segment_count : 0);
}

void Policy::judge(const quickthorn_policy* conditions, const quickthorn_slot* slots, const double* features,
                   const Hash128& id, Verdict& verdict) const {
    if (conditions != nullptr) {
        judge_conditions(*conditions, slots, features, id, verdict);
        return;
    }
    judge_thresholds(thresholds, thresholds.on == Scale::score ? verdict.score : aligned_or_missing(verdict.score),
                     verdict);
    if (exploration.share > 0.0) explore(id, verdict);
}

void Policy::judge_conditions(const quickthorn_policy& conditions, const quickthorn_slot* slots, const double* features,
                              const Hash128& id, Verdict& verdict) const {
    const double aligned = conditions.uses_aligned_score != 0 ? aligned_or_missing(verdict.score) : missing;
    const quickthorn_scored scored = {verdict.score, aligned, verdict.margin};
    quickthorn_matches matches;
    conditions.match(slots, features, &scored, &matches);
    if (matches.rule < rules.size()) {
        verdict.outcome = rules[matches.rule];
        verdict.rule = first_named + static_cast<std::int32_t>(matches.rule);
        return;
    }
    const bool in_segment = matches.segment < segments.size();
    const Thresholds& judging = in_segment ? segments[matches.segment] : thresholds;
    if (in_segment) {
        verdict.rule = first_named + static_cast<std::int32_t>(rules.size() + caps.size() + matches.segment);
    }
    const double values[] = {verdict.score, aligned, matches.expected_loss};
    judge_thresholds(judging, values[static_cast<std::size_t>(judging.on)], verdict);
    if (matches.cap < caps.size() && caps[matches.cap] > verdict.outcome) {
        verdict.outcome = caps[matches.cap];
        verdict.rule = first_named + static_cast<std::int32_t>(rules.size() + matches.cap);
        return;
    }
    if (matches.explorable != 0) explore(id, verdict);
}

void Policy::judge_thresholds(const Thresholds& judging, double value, Verdict& verdict) const {
    verdict.outcome = judging.outcome(value);
    // What is not a number fails every comparison, and must not be approved for that.
    if (std::isnan(value)) [[unlikely]] {
        verdict.outcome = unscored;
        verdict.rule = static_cast<std::int32_t>(Fixed::fallback);
    }
}

void Policy::explore(const Hash128& id, Verdict& verdict) const {
    const bool replaceable = (exploration.instead_of >> verdict.outcome & 1u) != 0;
    if (!replaceable || verdict.rule == static_cast<std::int32_t>(Fixed::fallback)) return;
    if (draw_of(id, exploration.seed) < exploration.share) {
        verdict.outcome = exploration.outcome;
        verdict.rule = static_cast<std::int32_t>(Fixed::exploration);
        verdict.propensity = exploration.share;
    } else {
        verdict.propensity = 1.0 - exploration.share;
    }
}

void Policy::fall_back(Outcome wanted, Verdict& verdict) const {
    if (decided_by_rule(verdict)) return;
    verdict.outcome = wanted;
    verdict.rule = static_cast<std::int32_t>(Fixed::fallback);
    verdict.propensity = 1.0;
}

Verdict Policy::invalid() const {
    Verdict verdict;
    verdict.outcome = fallback[static_cast<std::size_t>(Status::invalid)];
    verdict.rule = static_cast<std::int32_t>(Fixed::fallback);
    verdict.status = Status::invalid;
    return verdict;
}

}  // namespace quickthorn
