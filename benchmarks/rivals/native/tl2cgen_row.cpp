// One row through the C code that TL2cgen generated; rows are arrays of its `union Entry`, made beforehand.
namespace {

template <class Value>
using Predict = void (*)(void* entries, int margin, Value* result);

void* predict;

template <class Value>
double call(const void* row) {
    Value result = 0;
    reinterpret_cast<Predict<Value>>(predict)(const_cast<void*>(row), 1, &result);
    return static_cast<double>(result);
}

}  // namespace

extern "C" void setup(void* function, void*, unsigned) { predict = function; }

extern "C" double one_row(const void* row) { return call<float>(row); }

extern "C" double one_row_of_doubles(const void* row) { return call<double>(row); }
