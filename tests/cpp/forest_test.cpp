// A compiled forest behind its table of functions: links, golden vectors, and many threads at once.
#include "quickthorn/forest.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "check.hpp"
#include "plain_library.hpp"

using namespace quickthorn;

namespace {

const double vectors[] = {2, 500, 1, 2'000, 0, 0};
const double margins[] = {2.5, 3, 0};
const std::int32_t leaves[] = {1, 0, 0, 1, 0, 0};

std::vector<double> scores_of(const Calibration& calibration) {
    std::vector<double> scores;
    for (const double margin : margins) scores.push_back(calibration.score(margin));
    return scores;
}

void golden_vectors_agree_or_say_where_not() {
    const Calibration sigmoid{Link::sigmoid, 1.0};
    quickthorn_forest unexplained = plain::forest;
    unexplained.contributions = nullptr;
    const Forest forest(unexplained, sigmoid);
    const std::vector<double> scores = scores_of(sigmoid);
    CHECK(first_disagreement(forest, {vectors, margins, scores, leaves}).empty());

    std::vector<std::int32_t> other_leaves(leaves, leaves + 6);
    other_leaves[3] = 0;
    CHECK(first_disagreement(forest, {vectors, margins, scores, other_leaves}) ==
          "golden row 1, tree 1: expected leaf 0, found 1");
    const double other_margins[] = {2.5, std::nextafter(3.0, 4.0), 0};
    CHECK(first_disagreement(forest, {vectors, other_margins, scores, leaves}) ==
          "golden row 1: expected margin 3.0000000000000004, found 3");
    // The same number in other bits is another margin.
    const double negative_zero[] = {2.5, 3, -0.0};
    CHECK(first_disagreement(forest, {vectors, negative_zero, scores, leaves}).starts_with("golden row 2"));
    std::vector<double> other_scores = scores;
    other_scores[0] *= 1 + 1e-5;
    CHECK(first_disagreement(forest, {vectors, margins, other_scores, leaves})
              .starts_with("golden row 0: expected score"));
    CHECK(first_disagreement(forest, {std::span(vectors, 4), margins, scores, leaves}) ==
          "golden vectors are not of the forest's shape");
}

void links_at_their_ends() {
    const double infinity = std::numeric_limits<double>::infinity();
    CHECK((Calibration{Link::sigmoid, 2.0}.score(0) == 0.5));
    CHECK((Calibration{Link::exponential, 1.0}.score(1e6) == infinity));
    CHECK((Calibration{Link::step, 1.0}.score(0) == 0 && Calibration{Link::step, 1.0}.score(5e-324) == 1));
    CHECK((Calibration{Link::signed_square, 1.0}.score(-3) == -9));
    CHECK((Calibration{Link::log1p_exp, 1.0}.score(1e6) == infinity));
    CHECK((Calibration{Link::softmax, 1.0}.score(7) == 1));
    double far[] = {1e6, -1e6};
    Calibration{Link::softmax, 1.0}.apply(far, 2);
    CHECK(far[0] == 1 && far[1] == 0);
    double several[] = {0, -3};
    Calibration{Link::identity, 1.0}.apply(several, 2);
    CHECK(several[0] == 0 && several[1] == -3);
}

void threads_share_a_forest() {
    const Forest forest(plain::forest, {Link::identity, 1.0});
    const auto work = [&] {
        for (int turn = 0; turn < 1'000; ++turn) {
            const auto row = static_cast<std::size_t>(turn % 3);
            CHECK(forest.margin(vectors + 2 * row) == margins[row]);
            double all[3];
            forest.margins(Rows<double>{vectors, 2, 1, 3}, all);
            CHECK(all[row] == margins[row]);
        }
    };
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) threads.emplace_back(work);
    for (std::thread& thread : threads) thread.join();
}

}  // namespace

int main() {
    golden_vectors_agree_or_say_where_not();
    links_at_their_ends();
    threads_share_a_forest();
}
