// Feature vectors from Arrow data: one column per feature, by name where the model has names, else by position.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "quickthorn/arrow_columns.hpp"
#include "quickthorn/category_codes.hpp"

namespace quickthorn {

// What the columns are read into.
struct RowLayout {
    std::size_t feature_count = 0;
    std::span<const std::string> names;    // empty where the model has none
    std::span<const CategoryCodes> codes;  // per feature; empty where the model has no dictionary
    UnknownCategory unknown = UnknownCategory::missing;
};

// Binds the columns once, then reads batch after batch. Nulls become NaN, values of a feature with a dictionary their
// codes.
class ArrowRows {
public:
    // Throws ArrowError for a feature without a column, or a column of a type that holds no such feature.
    ArrowRows(const RowLayout& layout, const ArrowSchema& columns);

    // The batch must outlive its use and match the columns given at construction; throws ArrowError where it does not.
    void open(const ArrowArray& batch);

    std::size_t length() const { return length_; }

    // Reads `count` rows from row `first` on: feature f of row r becomes values[f * stride + r]. Throws ArrowError for
    // an unknown category that is refused.
    void read(std::size_t first, std::size_t count, std::size_t stride, double* values) const;

private:
    std::string name_of(std::size_t feature) const;
    void read_column(std::size_t feature, std::int64_t first, std::size_t count, double* values) const;
    double value_of(std::size_t feature, const ArrowColumn& column, std::int64_t row) const;
    double unknown_category(std::size_t feature, const std::string& found) const;

    RowLayout layout_;
    std::vector<ArrowColumn> columns_;          // one per feature
    std::vector<std::int64_t> places_;          // of each feature's column among the batch's children
    std::vector<std::vector<double>> entries_;  // what the entries of a dictionary column come to, batch by batch
    std::int64_t child_count_ = 0;
    std::int64_t batch_offset_ = 0;
    std::size_t length_ = 0;
    const ArrowArray* batch_ = nullptr;
};

}  // namespace quickthorn
