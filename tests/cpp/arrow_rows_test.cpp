// Feature vectors from Arrow columns laid out by hand: offsets, nulls, dictionaries and categories.
#include "quickthorn/arrow_rows.hpp"

#include <cmath>
#include <string>
#include <vector>

#include "check.hpp"

using namespace quickthorn;

namespace {

// Two columns, three rows at an offset of 1: numbers with a null, and text by way of a dictionary of four.
struct HandMadeBatch {
    double numbers[4] = {99, 1.5, 2.5, 3.5};
    std::uint8_t valid[1] = {0b1011};
    std::int8_t indices[4] = {9, 2, 0, 1};
    std::int32_t ends[5] = {0, 3, 7, 11, 15};
    char texts[16] = "redbluezincnone";

    const void* number_buffers[2] = {valid, numbers};
    const void* index_buffers[2] = {nullptr, indices};
    const void* text_buffers[3] = {nullptr, ends, texts};

    ArrowSchema schemas[2] = {};
    ArrowArray arrays[2] = {};
    ArrowSchema text_schema = {};
    ArrowArray text_array = {};
    ArrowSchema* schema_children[2] = {&schemas[0], &schemas[1]};
    ArrowArray* array_children[2] = {&arrays[0], &arrays[1]};
    ArrowSchema schema = {};
    ArrowArray batch = {};

    HandMadeBatch() {
        schemas[0].name = "number";
        schemas[0].format = "g";
        schemas[1].name = "colour";
        schemas[1].format = "c";
        schemas[1].dictionary = &text_schema;
        text_schema.format = "u";
        text_array.length = 4;
        text_array.buffers = text_buffers;
        for (ArrowArray& array : arrays) {
            array.length = 3;
            array.offset = 1;
        }
        arrays[0].null_count = -1;
        arrays[0].buffers = number_buffers;
        arrays[1].buffers = index_buffers;
        arrays[1].dictionary = &text_array;
        schema.format = "+s";
        schema.n_children = batch.n_children = 2;
        schema.children = schema_children;
        batch.children = array_children;
        batch.length = 3;
    }
};

const std::vector<std::string> names = {"colour", "number"};

std::vector<CategoryCodes> colours() {
    std::vector<CategoryCodes> codes(2);
    codes[0].add("blue");
    codes[0].add("red");
    return codes;
}

std::string refusal(const RowLayout& layout, HandMadeBatch& made) {
    try {
        ArrowRows rows(layout, made.schema);
        rows.open(made.batch);
        std::vector<double> values(6);
        rows.read(0, 3, 3, values.data());
    } catch (const ArrowError& error) {
        return error.what();
    }
    return "";
}

void columns_are_found_by_name_and_categories_coded() {
    HandMadeBatch made;
    const auto codes = colours();
    ArrowRows rows({2, names, codes, UnknownCategory::missing}, made.schema);
    rows.open(made.batch);
    CHECK(rows.length() == 3);
    std::vector<double> values(6);
    rows.read(0, 3, 3, values.data());
    // zinc, red, blue; the second number is null
    CHECK(std::isnan(values[0]) && values[1] == 1 && values[2] == 0);
    CHECK(values[3] == 1.5 && std::isnan(values[4]) && values[5] == 3.5);
    rows.read(1, 2, 3, values.data());
    CHECK(values[0] == 1 && values[1] == 0);
    made.valid[0] = 0b0111;
    rows.read(0, 3, 3, values.data());
    CHECK(values[4] == 2.5 && std::isnan(values[5]));
}

void what_no_dictionary_has_may_be_another_category() {
    HandMadeBatch made;
    const auto codes = colours();
    ArrowRows rows({2, names, codes, UnknownCategory::unmatched}, made.schema);
    rows.open(made.batch);
    std::vector<double> values(6);
    rows.read(0, 3, 3, values.data());
    CHECK(values[0] == unmatched_code && values[1] == 1 && values[2] == 0);
}

void what_does_not_fit_is_refused() {
    const auto codes = colours();
    HandMadeBatch made;
    CHECK(refusal({2, names, codes, UnknownCategory::refused}, made) ==
          "rows: 'colour': expected a category that the model was trained on, found 'zinc'");
    CHECK(refusal({2, names, {}, UnknownCategory::missing}, made)
              .starts_with("rows: 'colour': expected a column of num"));
    made.indices[1] = 4;
    CHECK(refusal({2, names, codes, UnknownCategory::missing}, made) ==
          "rows: 'colour': expected an index into the column's dictionary, found 4");
    made.batch.n_children = 1;
    CHECK(refusal({2, names, codes, UnknownCategory::missing}, made) == "rows: expected a batch of 2 columns, found 1");
    made.schemas[0].name = "colour";
    CHECK(refusal({2, names, codes, UnknownCategory::missing}, made).ends_with("column of that name, found two"));
    CHECK(refusal({3, {}, {}, UnknownCategory::missing}, made).starts_with("rows: expected 3 columns"));
    made.schema.format = "g";
    CHECK(refusal({2, names, codes, UnknownCategory::missing}, made).ends_with("found data without columns"));
}

}  // namespace

int main() {
    columns_are_found_by_name_and_categories_coded();
    what_no_dictionary_has_may_be_another_category();
    what_does_not_fit_is_refused();
}
