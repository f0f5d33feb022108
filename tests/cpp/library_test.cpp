#include "quickthorn/library.hpp"

#include <cstring>
#include <string>
#include <vector>

#include "check.hpp"

using namespace quickthorn;

namespace {

std::string refusal(const std::vector<std::byte>& image) {
    try {
        const Library library(image);
    } catch (const LibraryError& error) {
        return error.what();
    }
    return "";
}

void what_is_not_a_library_is_refused() {
    std::vector<std::byte> garbage(4096);
    for (std::size_t i = 0; i < garbage.size(); ++i) garbage[i] = static_cast<std::byte>(i * 37);
    CHECK(refusal({}).starts_with("library: cannot be mapped"));
    CHECK(refusal(garbage).starts_with("library: cannot be mapped"));
    const char elf[] = "\177ELF\2\1\1";
    std::memcpy(garbage.data(), elf, sizeof elf);
    CHECK(refusal(garbage).starts_with("library: cannot be mapped"));
}

void an_unknown_target_is_not_supported() {
    CHECK(!processor_supports("x86-64-v9"));
    CHECK(!processor_supports(""));
}

}  // namespace

int main() {
    what_is_not_a_library_is_refused();
    an_unknown_target_is_not_supported();
}
