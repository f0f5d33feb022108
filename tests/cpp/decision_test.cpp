#include "quickthorn/decision.hpp"

#include <cmath>
#include <vector>

#include "check.hpp"
#include "quickthorn/reasons.hpp"

using namespace quickthorn;

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

Policy plain_policy() {
    Policy policy;
    policy.outcome_count = 3;
    policy.thresholds.count = 2;
    policy.thresholds.steps[0] = {0.8, 2};
    policy.thresholds.steps[1] = {0.3, 1};
    policy.unscored = 1;
    policy.fallback.back() = 1;
    return policy;
}

// The first feature's place among rules, caps and segments holds; the second is the expected loss.
void match(const quickthorn_slot*, const double* features, const quickthorn_scored*, quickthorn_matches* matches) {
    const auto asked = static_cast<std::uint32_t>(features[0]);
    *matches = {features[1], asked == 0 ? 0u : 2u, asked == 1 ? 0u : 1u, asked == 2 ? 0u : 1u, 1};
}

Verdict judged(const Policy& policy, const quickthorn_policy* conditions, double score, double asked = 9,
               double loss = nan, std::uint64_t id = 0) {
    const double features[] = {asked, loss};
    Verdict verdict;
    verdict.score = score;
    policy.judge(conditions, nullptr, features, Hash128{0, id}, verdict);
    return verdict;
}

void thresholds_belong_to_the_severer_side() {
    const Policy policy = plain_policy();
    CHECK(judged(policy, nullptr, 0.29).outcome == 0 && judged(policy, nullptr, 0.3).outcome == 1);
    CHECK(judged(policy, nullptr, 0.8).outcome == 2);
    const Verdict unscored = judged(policy, nullptr, nan);
    CHECK(unscored.outcome == 1 && unscored.rule == static_cast<std::int32_t>(Fixed::fallback));
}

void rules_go_before_caps_and_caps_only_raise() {
    Policy policy = plain_policy();
    policy.rules = {0, 2};
    policy.caps = {1};
    policy.segments.resize(1);
    policy.segments[0].on = Scale::expected_loss;
    policy.segments[0].count = 1;
    policy.segments[0].steps[0] = {100.0, 2};
    const quickthorn_policy conditions = {2, 1, 1, 0, match};
    policy.check(&conditions);
    CHECK(judged(policy, &conditions, 0.9, 0).outcome == 0);  // allowed, whatever the score
    CHECK(judged(policy, &conditions, 0.9, 0).rule == 3);
    CHECK(judged(policy, &conditions, 0.1, 1).outcome == 1 && judged(policy, &conditions, 0.1, 1).rule == 5);
    CHECK(judged(policy, &conditions, 0.9, 1).outcome == 2 && judged(policy, &conditions, 0.9, 1).rule == -1);
    CHECK(judged(policy, &conditions, 0.1, 2, 100.0).outcome == 2);
    CHECK(judged(policy, &conditions, 0.1, 2, 99.0).rule == 6);
    CHECK(judged(policy, &conditions, 0.1, 2, nan).outcome == 1);

    policy.fallback[static_cast<std::size_t>(Status::late)] = 1;
    Verdict allowed = judged(policy, &conditions, 0.9, 0);
    policy.settle(Status::late, allowed);
    CHECK(allowed.outcome == 0 && allowed.status == Status::late);
    Verdict scored = judged(policy, &conditions, 0.9);
    policy.settle(Status::late, scored);
    CHECK(scored.outcome == 1 && scored.rule == static_cast<std::int32_t>(Fixed::fallback));
}

void chance_has_the_share_it_says() {
    Policy policy = plain_policy();
    policy.exploration = {0.25, 0, 1u << 1, 7};
    int explored = 0;
    for (std::uint64_t id = 0; id < 10'000; ++id) {
        const Verdict verdict = judged(policy, nullptr, 0.5, 9, nan, id * 0x9e3779b97f4a7c15);
        const bool drawn = verdict.rule == static_cast<std::int32_t>(Fixed::exploration);
        CHECK(verdict.propensity == (drawn ? 0.25 : 0.75) && verdict.outcome == (drawn ? 0 : 1));
        explored += drawn ? 1 : 0;
    }
    CHECK(explored > 2'300 && explored < 2'700);
    CHECK(judged(policy, nullptr, 0.9).propensity == 1.0);
}

void a_library_of_another_policy_is_refused() {
    Policy policy = plain_policy();
    policy.rules = {0};
    const quickthorn_policy conditions = {2, 0, 0, 0, match};
    int refused = 0;
    for (const quickthorn_policy* given : {static_cast<const quickthorn_policy*>(nullptr), &conditions}) {
        try {
            policy.check(given);
        } catch (const PolicyError&) {
            ++refused;
        }
    }
    CHECK(refused == 2);
}

void reasons_are_the_largest_sums() {
    const ReasonMap map = {{0, 1, 1, 2, 3}, 4, 2, 1};
    std::vector<double> sums(4);
    Explanation told;
    explain(map, std::vector<double>{0.5, 0.25, 0.5, -1.0, 0.5, 9.0}, sums, told);
    CHECK(told.count == 2 && told.reasons[0].code == 1 && told.reasons[0].contribution == 0.75);
    CHECK(told.reasons[1].code == 0);  // as heavy as the last, and declared before it
    explain(map, std::vector<double>{-0.5, 0.0, -0.25, -1.0, 0.125, 9.0}, sums, told);
    CHECK(told.count == 1 && told.reasons[0].code == 3);
}

}  // namespace

int main() {
    thresholds_belong_to_the_severer_side();
    rules_go_before_caps_and_caps_only_raise();
    chance_has_the_share_it_says();
    a_library_of_another_policy_is_refused();
    reasons_are_the_largest_sums();
}
