// One row of float32 through a forest that Quickthorn emitted.
namespace {

using Margins = void (*)(const float* row, double* margins);

Margins margins;

}  // namespace

extern "C" void setup(void* function, void*, unsigned) { margins = reinterpret_cast<Margins>(function); }

extern "C" double one_row(const void* row) {
    double margin;
    margins(static_cast<const float*>(row), &margin);
    return margin;
}
