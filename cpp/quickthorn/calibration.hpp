// Calibration: how a forest's margins read as scores. The expressions are those of quickthorn/calibration/link.py, in
// the same order and with the same libm.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace quickthorn {

enum class Link : std::uint8_t { identity, sigmoid, exponential, step, softmax, signed_square, log1p_exp };

// As manifests spell them, in the order of the enumeration.
inline constexpr std::array<const char*, 7> link_names = {"identity", "sigmoid",       "exp",      "step",
                                                          "softmax",  "signed_square", "log1p_exp"};

struct Calibration {
    Link link = Link::sigmoid;
    double scale = 1.0;  // of the sigmoid: LightGBM's `sigmoid` parameter, 1 elsewhere

    // The score of a forest's only margin.
    double score(double margin) const {
        switch (link) {
            case Link::sigmoid: return 1.0 / (1.0 + std::exp(-scale * margin));
            case Link::exponential: return std::exp(margin);
            case Link::step: return margin > 0.0 ? 1.0 : 0.0;
            case Link::softmax: return 1.0;
            case Link::signed_square: return margin * std::fabs(margin);
            case Link::log1p_exp: return std::log1p(std::exp(margin));
            case Link::identity: break;
        }
        return margin;
    }

    // Turns the margins of one row into its scores, in place: softmax over all of them, every other link one by one.
    void apply(double* values, std::size_t count) const {
        if (link == Link::softmax) {
            softmax(values, count);
        } else if (link != Link::identity) {
            for (std::size_t i = 0; i < count; ++i) values[i] = score(values[i]);
        }
    }

private:
    static void softmax(double* values, std::size_t count) {
        double largest = values[0];
        for (std::size_t i = 1; i < count; ++i) largest = values[i] > largest ? values[i] : largest;
        double total = 0.0;
        for (std::size_t i = 0; i < count; ++i) {
            values[i] = std::exp(values[i] - largest);
            total += values[i];
        }
        for (std::size_t i = 0; i < count; ++i) values[i] /= total;
    }
};

}  // namespace quickthorn
